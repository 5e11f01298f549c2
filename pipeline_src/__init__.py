"""Student-friendly teacher training and knowledge distillation for MRI reconstruction."""
