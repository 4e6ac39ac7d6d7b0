/* SPDX-License-Identifier: Apache-2.0
 *
 * See support.h.
 */
#include "authority/support.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/fake_keyholder.c"

int64_t house_now_s = 1800000000;

static int64_t now_s(void)
{
    return house_now_s;
}

int house_setup(void **state)
{
    struct house *house = calloc(1, sizeof *house);
    struct pn_authority_config config = {
        .tenant_id = TENANT,
        .control_url = ORIGIN,
        .vault_audience = VAULT_AUDIENCE,
        .now_s = now_s,
    };
    struct pn_authority_client client = {.secret = pn_slice_str(SECRET)};
    struct pn_error err = {0};
    char file[80];
    enum pn_rc rc;

    house_now_s = 1800000000;
    snprintf(house->folder, sizeof house->folder, "/tmp/pn-authority-XXXXXX");
    if (!mkdtemp(house->folder))
        return -1;
    snprintf(file, sizeof file, "%s/db", house->folder);
    rc = pn_store_open(file, &house->store, &err);
    config.store = house->store;
    if (rc == PN_OK)
        rc = pn_authority_create(&config, &house->authority, &err);
    if (rc == PN_OK)
        rc = pn_authority_add_client(house->authority, &client, house->client_id, house->object_id,
                                     &err);
    if (rc != PN_OK)
        fprintf(stderr, "%s\n", err.message);
    *state = house;
    return rc == PN_OK ? 0 : -1;
}

int house_teardown(void **state)
{
    struct house *house = *state;
    char file[80];

    pn_authority_destroy(house->authority);
    pn_store_close(house->store);
    snprintf(file, sizeof file, "%s/db", house->folder);
    (void)unlink(file);
    (void)rmdir(house->folder);
    fake_keyholder_reset();
    free(house);
    return 0;
}

const char *house_origin = ORIGIN;

void ask(struct house *house, const char *method, const char *path, const char *query,
         const char *body, const char *authorization, const char *peer, struct answer *answer)
{
    struct pn_request request = {
        .arena = pn_arena_create(4096, 1 << 20),
        .method = pn_slice_str(method),
        .path = pn_slice_str(path),
        .query = pn_slice_str(query),
        .body = pn_slice_str(body),
        .host = pn_slice_str(house_origin + strlen("https://")),
        .origin = pn_slice_str(house_origin),
        .peer = peer ? peer : "127.0.0.1",
        .request_id = "00000000-0000-4000-8000-000000000000",
    };
    enum pn_rc rc = PN_OK;

    memset(answer, 0, sizeof *answer);
    answer->arena = request.arena;
    pn_headers_init(&request.headers, request.arena);
    if (authorization)
        rc = pn_headers_add(&request.headers, PN_LIT("Authorization"), pn_slice_str(authorization));
    assert(rc == PN_OK);
    pn_response_init(&answer->response, request.arena, 1 << 20);
    pn_authority_handle(house->authority, &request, &answer->response);
    (void)!pn_json_parse(pn_buf_slice(&answer->response.body), &answer->json, NULL);
}

void answer_fini(struct answer *answer)
{
    json_decref(answer->json);
    pn_response_fini(&answer->response);
    pn_arena_destroy(answer->arena);
}
