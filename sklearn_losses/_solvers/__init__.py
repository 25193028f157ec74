"""What drives a fit: epochs, stopping, validation, averaging. The kernels do the arithmetic."""
