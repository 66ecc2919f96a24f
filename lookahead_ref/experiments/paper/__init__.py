"""The paper's tables and figures, each in its full setting and in smaller ones."""
