"""What every training of a study is doing: told from its files, and shown."""
