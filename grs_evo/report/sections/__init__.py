"""The parts of the report, in their order: what was asked (`overview`), what was found (`structures`), how well it
matches (`match`), how it was found (`search`).
"""
