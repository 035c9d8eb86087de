tapeout profile nowhere.csv
