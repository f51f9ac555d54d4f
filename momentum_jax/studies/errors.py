"""What is wrong with a study, said in one line."""


class StudyError(ValueError):
    """A specification, an arm or a results directory that cannot be used. The message says what would be right."""
