"""Only known tenants may call, and the server is told what each has paid for."""

from waypoint.filter import Answer, Filter, Request, Response


class Tenant(Filter):
    """Made anew for each request: what one hook keeps, the next ones of the request find."""

    def request(self, request: Request) -> Answer | None:
        """Refuse strangers; tell the server the tenant's plan."""
        self.tenant = request.headers.get("x-tenant", "")
        if not self.tenant:
            return Answer(400, body=b"which tenant?\n")
        plan = self.config["plans"].get(self.tenant)
        if plan is None:
            return Answer(403, body=b"no such tenant\n")
        request.headers["x-plan"] = plan
        return None

    def response(self, response: Response) -> None:
        """Keep shared caches from mixing tenants up."""
        response.headers.add("vary", "x-tenant")
