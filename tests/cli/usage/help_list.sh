tapeout list --help
