"""Pictures: where they come from, how they are kept, split and augmented."""
