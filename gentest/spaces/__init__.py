"""Latent spaces: the shape and the prior of z, as frozen values.

A space is made of *parts*. `Normal`, `Uniform` and the other priors are one part; `Joint` names several (a z and a
label). Everything random is a function of uniforms: a part maps `dim` numbers in (0, 1) to one latent by its prior's
inverse CDF, in float64 on the CPU, and rounds once, to float32. So a seed gives the same latent on any machine and in
any batch, two priors are coupled by sharing uniforms, and a latent can be changed group by group and stay a sample of
the prior.

Paths follow the prior: great circles where the mass lies on a shell, straight lines elsewhere.
"""

from gentest.spaces.at_radius import AtRadius, at_radius
from gentest.spaces.codes import Codes
from gentest.spaces.direction import Direction
from gentest.spaces.mapped import Mapped
from gentest.spaces.one_of import Condition, OneOf, Prompts
from gentest.spaces.priors import Categorical, Empirical, Normal, Sphere, TruncatedNormal, Uniform
from gentest.spaces.space import Choice, Fixed, Group, Joint, Part, Space, Truncated, Wrapper
from gentest.spaces.template import Template

__all__ = [
    "AtRadius",
    "Categorical",
    "Choice",
    "Codes",
    "Condition",
    "Direction",
    "Empirical",
    "Fixed",
    "Group",
    "Joint",
    "Mapped",
    "Normal",
    "OneOf",
    "Part",
    "Prompts",
    "Space",
    "Sphere",
    "Template",
    "Truncated",
    "TruncatedNormal",
    "Uniform",
    "Wrapper",
    "at_radius",
]
