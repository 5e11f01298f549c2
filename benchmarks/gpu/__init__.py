"""`python -m benchmarks.gpu`: proof, numbers and a study of the GPU path within a time budget."""
