"""What is decided of findings and demands: pure, and of no target in particular."""
