tapeout version --help
