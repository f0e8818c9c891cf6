"""Where files are touched and commands are run: inside the project, and nowhere else."""
