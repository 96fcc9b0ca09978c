"""What a tunnel announces, by the configuration."""

from mesh.runtime.settings import Http2
from mesh.runtime.worker.secure import settings_of
from mesh.wire.http2.frames import Role

MIB = 1024 * 1024


def test_windows_begin_small_and_may_grow_as_configured() -> None:
    settings = settings_of(Role.SERVER, Http2(4 * MIB, 16 * MIB, MIB))
    assert settings.stream_window == 256 * 1024
    assert (settings.max_stream_window, settings.max_connection_window) == (4 * MIB, 16 * MIB)
    assert settings.max_concurrent_streams == 200


def test_a_small_configured_window_is_where_it_begins_and_ends() -> None:
    settings = settings_of(Role.CLIENT, Http2(1000, 1000, 16_384))
    assert (settings.stream_window, settings.max_stream_window) == (1000, 1000)
    assert (settings.connection_window, settings.max_connection_window) == (65_535, 65_535)
    assert settings.max_frame == 16_384
