# SPDX-License-Identifier: Apache-2.0
"""Principals beside the administrator: applications with a secret, and the roles they have."""
import uuid

ROLES = {
    "Owner": "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
    "Contributor": "b24988ac-6180-42a0-ab88-20f7382dd24c",
    "Reader": "acdd72a7-3385-48ef-bd42-f606fba81ae7",
    "User Access Administrator": "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9",
    "API Management Service Contributor": "312a565d-c81f-4fd8-895a-4e21e48d571c",
    "API Management Service Reader Role": "71522526-b88f-4d52-b57f-d31fc3546d0d",
    "API Management Workspace Contributor": "0c34c906-8d99-4cb7-8bb7-33f5b0a1a799",
    "API Management Workspace Reader": "ef1c2c96-4a77-49e8-b9a4-6179fe1d2fd2",
    "API Management Workspace API Developer": "56328988-075d-4c6a-8766-d93edd6725b6",
    "API Management Workspace API Product Manager": "73c2c328-d004-4c5e-938c-35c6f5679a1f",
    "Key Vault Administrator": "00482a5a-887f-4fb3-b363-3b7fe8e74483",
    "Key Vault Reader": "21090545-7ca7-4776-b22c-e363652d74d2",
    "Key Vault Contributor": "f25e0fa2-a7c8-4377-a976-54943a77a395",
    "Key Vault Secrets User": "4633458b-17de-408a-b874-0445c86b69e6",
    "Key Vault Secrets Officer": "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
    "Key Vault Certificate User": "db79e9a7-68ee-4b58-9aeb-b90e7c24fcba",
    "Key Vault Certificates Officer": "a4417e6f-fecd-4de8-b567-7b0420556985",
    "Key Vault Crypto User": "12338af0-0e69-4776-bea7-57ae8d297424",
    "Key Vault Crypto Officer": "14b46e9e-c2b7-41b4-b07b-48a6ebf60603",
    "Key Vault Data Access Administrator": "8b54135c-b56d-4d72-a534-26097cfdc8d8",
    "Managed Identity Operator": "f1a07417-d97a-45cb-824c-7a7467783830",
    "Network Contributor": "4d97b98b-1d4f-4787-a291-c67834d212e7",
}
GRAPH = "/msgraph/v1.0/applications"


def graph(postern, method, path="", body=None, token=None):
    return postern.session(postern.control).call(
        method, GRAPH + path, body, {"Authorization": "Bearer " + (token or postern.token())})


class Application:
    """An app registration with one secret."""

    def __init__(self, postern, name="app"):
        self.postern = postern
        made = graph(postern, "POST", body={"displayName": name})
        assert made.status == 201, made
        self.client_id, self.object_id = made.json()["appId"], made.json()["id"]
        password = graph(postern, "POST", f"(appId='{self.client_id}')/addPassword")
        assert password.status == 200, password
        self.secret = password.json()["secretText"]
        self._tokens = {}

    def token(self, audience=None):
        audience = audience or self.postern.control
        if audience not in self._tokens:
            answer = self.postern.ask_token(audience, self.client_id, self.secret)
            assert answer.status == 200, answer
            self._tokens[audience] = answer.json()["access_token"]
        return self._tokens[audience]

    def arm(self, method, path, body=None, **more):
        return self.postern.arm(method, path, body, token=self.token(), **more)

    def vault(self, method, path, body=None, **more):
        return self.postern.vault(method, path, body,
                                  token=self.token(self.postern.vault_audience), **more)

    def assign(self, role, scope, **more):
        """Gives the role; returns the assignment's id."""
        answer = assign(self.postern, self.object_id, role, scope, **more)
        assert answer.status == 201, answer
        return answer.json()["id"]


def assignment_path(scope, name=None):
    return f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name or uuid.uuid4()}"


def assign(postern, principal, role, scope, name=None, token=None, **properties):
    definition = (f"{postern.subscription}/providers/Microsoft.Authorization/roleDefinitions/"
                  f"{ROLES.get(role, role)}")
    body = dict({"roleDefinitionId": definition, "principalId": principal}, **properties)
    return postern.arm("PUT", assignment_path(scope, name), {"properties": body},
                       version="2022-04-01", token=token)
