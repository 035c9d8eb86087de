tapeout
