"""The OpenAPI document: valid, served, and about what there is. `contract` holds all answers of other tests to it."""

from __future__ import annotations

import json

import pytest
from openapi_spec_validator import validate
from webob import Request

from rest.access import AccessControl, Scope
from rest.wsgi import ROUTES, make_app
from tests.unit.rest import contract
from tests.unit.rest.fake_service import FakeService, view


def test_it_is_valid_and_served_to_everybody() -> None:
    validate(contract.DOCUMENT)
    app = make_app(FakeService(), AccessControl({}, Scope.OPEN))
    assert Request.blank("/v1/openapi.json").get_response(app).json == json.loads(json.dumps(contract.DOCUMENT))


def test_it_describes_every_path_and_method_there_is_and_no_other() -> None:
    methods = ("get", "put", "post", "delete", "patch")
    described = {path: {method.upper() for method in item if method in methods} for path, item in paths().items()}
    assert described == {path: set(route.handlers) for path, route in ROUTES.items()}


def test_it_says_what_needs_no_token() -> None:
    open_paths = {path for path, item in paths().items() if item.get("get", {}).get("security") == [{}]}
    assert open_paths == {path for path, route in ROUTES.items() if route.read_scope is Scope.OPEN}


@pytest.mark.parametrize("wrong", [{"home_address": "x"}, {"surplus": 1}, {"state": "unheard-of"}, {"sequence": 65536}])
def test_the_check_itself(wrong: dict[str, object]) -> None:
    app = make_app(FakeService(view("2001:db8:1::a")))
    good = Request.blank("/v1/bindings/2001:db8:1::a").get_response(app).json
    schema = {"$ref": "#/components/schemas/Binding"}
    contract.validate(good, schema)
    with pytest.raises(AssertionError):
        contract.validate({**good, **wrong}, schema)


def paths() -> dict[str, dict[str, dict[str, object]]]:
    found: dict[str, dict[str, dict[str, object]]] = contract.DOCUMENT["paths"]
    return found
