"""The MPI ranks of a job, and the back-ends that average their gradients."""
