"""Terms that compare one moment of the functions with the target's; parts of `totals.structure`.

Of first to fourth order `mean`, `variance`, `skewness`, `kurtosis`; between functions `covariance`.
"""
