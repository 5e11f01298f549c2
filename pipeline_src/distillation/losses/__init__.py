"""One module per distillation method; the module's name is the method's name."""
