"""Where sites are, and how far apart."""

from __future__ import annotations

from math import asin, cos, radians, sin, sqrt

EARTH_RADIUS_METRES = 6_371_008.8
"""Mean radius of the Earth (IUGG); the great circle is then within 0.6 % of the ellipsoid."""
_METRES_BELOW = 10_000


def great_circle_metres(latitude_a: float, longitude_a: float, latitude_b: float, longitude_b: float) -> float:
    """Distance along the surface between two points given in decimal degrees, by the haversine formula."""
    phi_a, phi_b = radians(latitude_a), radians(latitude_b)
    half_latitude = (phi_b - phi_a) / 2
    half_longitude = radians(longitude_b - longitude_a) / 2
    haversine = sin(half_latitude) ** 2 + cos(phi_a) * cos(phi_b) * sin(half_longitude) ** 2
    return 2 * EARTH_RADIUS_METRES * asin(min(1.0, sqrt(haversine)))


def format_distance(metres: float) -> str:
    """A distance for people: metres below ten kilometres, kilometres from there on, as `850 m` and `1 148 km`."""
    if metres < _METRES_BELOW:
        return f"{metres:,.0f} m".replace(",", " ")
    return f"{metres / 1000:,.0f} km".replace(",", " ")


def format_away(metres: float) -> str:
    """How far away something is, for people: `here`, or `12 km away`."""
    return f"{format_distance(metres)} away" if metres >= 1 else "here"
