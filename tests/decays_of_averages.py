"""Which numbers of the contract's rows are decays of averages, which 16 bits are too few for, by file."""

from contract_rows.row import Row

_AVERAGES = {
    "adadelta": {"rho"},
    "adam": {"b1", "b2"},
    "adamuon": {"momentum"},
    "adan": {"b1", "b2", "b3"},
    "ademamix": {"b1", "b2", "b3"},
    "dion": {"momentum"},
    "ema_momentum": {"momentum"},
    "ema_nesterov": {"gamma"},
    "gpa": {"evaluation"},
    "grokfast": {"alpha"},
    "laprop": {"b1", "b2"},
    "mars": {"b1", "b2"},
    "momo": {"momentum"},
    "muon": {"momentum"},
    "nadam": {"b1", "b2"},
    "nigt": {"momentum"},
    "normalized_momentum": {"momentum"},
    "normuon": {"momentum", "b2"},
    "pid": {"momentum"},
    "quasi_hyperbolic_adam": {"b1", "b2"},
    "quasi_hyperbolic_momentum": {"momentum"},
    "rmsprop": {"decay"},
    "scion": {"momentum"},
    "simplified_ademamix": {"b2"},
    "soap": {"b1", "b2"},
    "yellowfin": {"decay"},
}


def averages_of(row: Row) -> set[str]:
    return _AVERAGES.get(row.file, set())
