/* SPDX-License-Identifier: Apache-2.0
 *
 * See support.h. The import service is a double: it "opens" any file into a new key with its
 * certificate, but the file "bad", for which it reports a wrong password, and "mute", for which it
 * just ends.
 */
#include "unit/keyholder/support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc/channel.h"
#include "ipc/protocol.h"
#include "keyholder/issue.h"

struct connection {
    struct rig *rig;
    int fd;
    enum pn_role asker;
    const char *service;
};

struct pn_issue_spec rig_spec(void)
{
    return (struct pn_issue_spec){.key_type = "EC",
                                  .key_bits = 256,
                                  .subject = "CN=test",
                                  .not_before = 1700000000,
                                  .not_after = 1900000000};
}

static void answer_import(struct pn_channel *channel, struct pn_slice file, uint32_t id)
{
    const struct pn_issue_spec spec = rig_spec();
    struct pn_file_facts facts = {.friendly_name = "mine", .note_count = 0};
    struct pn_bundle bundle = {0};
    struct pn_buf out, pkcs8;
    unsigned char *der = NULL;
    size_t start;
    int len;

    pn_buf_init(&out, 64 * 1024);
    pn_buf_init_secret(&pkcs8, 64 * 1024);
    assert_int_equal(pn_issue(&spec, NULL, &bundle, NULL), PN_OK);
    if (pn_slice_eq_str(file, "bad")) {
        (void)!pn_frame_begin(&out, PN_IMPORT_FAILED, id, &start);
        (void)!pn_frame_u32(&out, PN_DENIED);
        (void)!pn_frame_str(&out, "wrong_password");
        (void)!pn_frame_str(&out, "the password does not open the file");
    } else {
        (void)!pn_key_to_pkcs8(bundle.key, &pkcs8, NULL);
        if (pn_slice_eq_str(file, "mismatch")) { /* a captured parser that lies */
            pn_bundle_fini(&bundle);
            assert_int_equal(pn_issue(&spec, NULL, &bundle, NULL), PN_OK);
        }
        len = i2d_X509(sk_X509_value(bundle.chain, 0), &der);
        (void)!pn_frame_begin(&out, PN_IMPORT_OPENED, id, &start);
        (void)!pn_frame_u8(&out, PN_FILE_PKCS12);
        (void)!pn_frame_bytes(&out, pn_buf_slice(&pkcs8));
        (void)!pn_frame_u32(&out, 1);
        (void)!pn_frame_bytes(&out, pn_slice(der, (size_t)len));
        (void)!pn_file_facts_put(&out, &facts);
        OPENSSL_free(der);
    }
    (void)!pn_frame_end(&out, start);
    (void)!pn_channel_send(channel, pn_buf_slice(&out), -1, 1000);
    pn_bundle_fini(&bundle);
    pn_buf_fini(&out);
    pn_buf_fini(&pkcs8);
}

static void *run_import(void *arg)
{
    struct pn_channel channel;
    struct pn_frame question;
    struct pn_slice password, file;
    uint8_t has_password;

    pn_channel_init(&channel, *(int *)arg);
    free(arg);
    if (pn_channel_receive(&channel, &question, NULL, 5000) == PN_OK &&
        pn_frame_read_u8(&question.fields, &has_password) == PN_OK &&
        pn_frame_read_bytes(&question.fields, &password) == PN_OK &&
        pn_frame_read_bytes(&question.fields, &file) == PN_OK && !pn_slice_eq_str(file, "mute"))
        answer_import(&channel, file, question.id);
    pn_channel_fini(&channel);
    return NULL;
}

static enum pn_rc connect_import(void *ctx, const char *service, int *fd, struct pn_error *err)
{
    int pair[2];
    int *far = malloc(sizeof(*far));
    pthread_t thread;

    (void)ctx;
    (void)err;
    assert_non_null(far);
    assert_string_equal(service, PN_SERVICE_IMPORT);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    *far = pair[1];
    assert_int_equal(pthread_create(&thread, NULL, run_import, far), 0);
    pthread_detach(thread);
    *fd = pair[0];
    return PN_OK;
}

void rig_open(struct rig *rig)
{
    struct pn_error err = {0};

    if (!rig->folder[0]) {
        snprintf(rig->folder, sizeof(rig->folder), "/tmp/postern-keyholder-XXXXXX");
        assert_non_null(mkdtemp(rig->folder));
    }
    assert_int_equal(pn_master_open(rig->folder, NULL, &rig->master, &err), PN_OK);
    assert_int_equal(pn_keys_open(rig->folder, &rig->master, &rig->keys, &err), PN_OK);
    assert_int_equal(pn_keyholder_server_create(&rig->master, rig->keys, connect_import, NULL,
                                                &rig->server, &err),
                     PN_OK);
}

void rig_close(struct rig *rig)
{
    pn_keyholder_server_destroy(rig->server);
    pn_keys_close(rig->keys);
    pn_master_fini(&rig->master);
}

void rig_remove(struct rig *rig)
{
    DIR *dir = opendir(rig->folder);
    const struct dirent *entry;

    assert_non_null(dir);
    for (entry = readdir(dir); entry; entry = readdir(dir))
        (void)unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
    rmdir(rig->folder);
}

static void *run_connection(void *arg)
{
    struct connection *connection = arg;

    pn_keyholder_server_serve(connection->rig->server, connection->fd, connection->service,
                              connection->asker);
    free(connection);
    return NULL;
}

struct pn_keyholder *rig_connect(struct rig *rig, const char *service, enum pn_role asker,
                                 pthread_t *thread)
{
    struct connection *connection = malloc(sizeof(*connection));
    struct pn_keyholder *kh;
    int pair[2];

    assert_non_null(connection);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    *connection = (struct connection){rig, pair[1], asker, service};
    assert_int_equal(pthread_create(thread, NULL, run_connection, connection), 0);
    assert_int_equal(pn_keyholder_create_fd(pair[0], &kh), PN_OK);
    return kh;
}

void rig_disconnect(struct pn_keyholder *kh, pthread_t thread)
{
    pn_keyholder_destroy(kh);
    pthread_join(thread, NULL);
}
