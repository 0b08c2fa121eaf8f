"""The one training loop, and what feeds, interrupts and resumes it."""
