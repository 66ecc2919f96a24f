"""The paper's tables and figures, each in its full setting and in one for a laptop."""
