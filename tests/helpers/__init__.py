"""What tests share: small projects, stand-ins, processes."""
