/* SPDX-License-Identifier: Apache-2.0
 *
 * A keyholder of its own in a temporary folder, served on threads of the test.
 */
#pragma once

#include <pthread.h>

#include "keyholder/server.h"

struct rig {
    char folder[64];
    struct pn_master master;
    struct pn_keys *keys;
    struct pn_keyholder_server *server;
};

void rig_open(struct rig *rig);  /* in a new folder, or in the one it had */
void rig_close(struct rig *rig); /* keeps the folder */
void rig_remove(struct rig *rig);
/* A client connected as `asker` to `service`; its thread ends when the client is destroyed. */
struct pn_keyholder *rig_connect(struct rig *rig, const char *service, enum pn_role asker,
                                 pthread_t *thread);
void rig_disconnect(struct pn_keyholder *kh, pthread_t thread);
/* A specification that works: EC P-256, CN=test, valid now. */
struct pn_issue_spec rig_spec(void);
