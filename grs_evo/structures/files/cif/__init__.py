"""CIF: structures (`reader`), symmetry operations (`symmetry`), the words of the format (`text`)."""
