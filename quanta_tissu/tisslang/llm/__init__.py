"""Language models as scripts ask them: checkpoints, servers, scripted answers and recordings."""
