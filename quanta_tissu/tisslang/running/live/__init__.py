"""Does what scripts want: files, commands, models, documents."""
