tapeout version
tapeout --version
