import pytest

from mesh.errors import ConfigError, PeerError


def test_a_leaf_without_a_code_is_refused_where_it_is_defined() -> None:
    with pytest.raises(TypeError, match="NamelessError needs a code"):

        class NamelessError(PeerError):
            pass


def test_a_config_error_tells_every_problem_at_once() -> None:
    error = ConfigError(("NODE_NAME is missing", "DRAIN_S is not a number"))

    assert str(error) == "NODE_NAME is missing; DRAIN_S is not a number"
