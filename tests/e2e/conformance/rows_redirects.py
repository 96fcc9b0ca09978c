"""Rows about redirects; the suite asserts their status only, these rows the whole Location too."""

from tests.e2e.conformance.row import Case, Json, Row, prefix, redirect, route, rule


def redirects(name: str, *steps: tuple[str, dict[str, Json], str, str, int]) -> Row:
    """A row of redirects: (prefix, fields, target, location, status) each."""
    return Row(
        name=name,
        routes=(
            route(
                name.lower(),
                *(
                    rule(matches=[prefix(path)], filters=[redirect(**fields)])
                    for path, fields, _, _, _ in steps
                ),
            ),
        ),
        cases=tuple(
            Case(url=f"http://echo{target}", status=status, location=location)
            for _, _, target, location, status in steps
        ),
    )


def new_prefix(path: str) -> dict[str, Json]:
    return {"type": "ReplacePrefixMatch", "replacePrefixMatch": path}


def new_path(path: str) -> dict[str, Json]:
    return {"type": "ReplaceFullPath", "replaceFullPath": path}


HOST: dict[str, Json] = {"hostname": "other.example"}
PORT: dict[str, Json] = {"port": 8083}
MOVED: dict[str, Json] = {"statusCode": 301}
SECURE: dict[str, Json] = {"scheme": "https"}
AWAY = "http://other.example"

ROWS = (
    redirects(
        "MeshHTTPRouteRedirectHostAndStatus",
        ("/host", HOST, "/host", f"{AWAY}/host", 302),
        ("/moved", HOST | MOVED, "/moved", f"{AWAY}/moved", 301),
    ),
    *(
        redirects(
            f"MeshHTTPRoute{status}Redirect",
            ("/", HOST | {"statusCode": status}, "/a", f"{AWAY}/a", status),
        )
        for status in (303, 307, 308)
    ),
    redirects(
        "MeshHTTPRouteRedirectPath",
        ("/old", {"path": new_prefix("/new")}, "/old/a", "http://echo/new/a", 302),
        ("/full", {"path": new_path("/one")}, "/full/a/b", "http://echo/one", 302),
        ("/far", HOST | {"path": new_prefix("/new")}, "/far/a", f"{AWAY}/new/a", 302),
        ("/gone", MOVED | {"path": new_prefix("/new")}, "/gone/a", "http://echo/new/a", 301),
        ("/there", HOST | {"path": new_path("/one")}, "/there/a", f"{AWAY}/one", 302),
        ("/then", MOVED | {"path": new_path("/one")}, "/then/a", "http://echo/one", 301),
    ),
    redirects(
        "MeshHTTPRouteRedirectPort",
        ("/port", PORT, "/port", "http://echo:8083/port", 302),
        ("/far", PORT | HOST, "/far", f"{AWAY}:8083/far", 302),
        ("/moved", PORT | MOVED, "/moved", "http://echo:8083/moved", 301),
        ("/all", PORT | HOST | MOVED, "/all", f"{AWAY}:8083/all", 301),
    ),
    redirects(
        "MeshHTTPRouteSchemeRedirect",
        ("/secure", SECURE, "/secure", "https://echo/secure", 302),
        ("/far", SECURE | HOST, "/far", "https://other.example/far", 302),
        ("/moved", SECURE | MOVED, "/moved", "https://echo/moved", 301),
        ("/all", SECURE | HOST | MOVED, "/all", "https://other.example/all", 301),
    ),
)
