# SPDX-License-Identifier: Apache-2.0
"""What the integration tests stand on: a throw-away PKI, Postern as a process, backends, clients."""
