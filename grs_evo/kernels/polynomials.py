"""Polynomials for functions of libm, a call to which would end the vectorisation of a loop: their coefficients."""

from __future__ import annotations

# sin(pi y) / y and cos(pi y) as polynomials in y² for |y| <= 1/2, interpolated at Chebyshev nodes in exact arithmetic;
# errors 6e-16 and 1e-16.
SINE_OVER_Y = (
    3.1415926535897927,
    -5.1677127800497855,
    2.5501640398618677,
    -0.599264528825224,
    0.08214587881631043,
    -0.0073703643265304155,
    0.0004659870158043378,
    -2.113362735205297e-05,
)
COSINE = (
    1.0,
    -4.934802200544676,
    4.058712126416497,
    -1.335262768843447,
    0.23533063012953284,
    -0.025806888737002202,
    0.0019295562724817132,
    -0.00010456655338748738,
    4.149564353942586e-06,
)
