"""Training: request, fit, template, submit."""
