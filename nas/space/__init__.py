"""Search spaces: networks as points of a space that a YAML file describes."""

from nas.space.files import Reference, load_reference, load_space, read_reference, reference_spec, references, spaces
from nas.space.search_space import Gene, SearchSpace
from nas.space.spec import Published
from nas.space.stage import Genotype

__all__ = [
    "Gene",
    "Genotype",
    "Published",
    "Reference",
    "SearchSpace",
    "load_reference",
    "load_space",
    "read_reference",
    "reference_spec",
    "references",
    "spaces",
]
