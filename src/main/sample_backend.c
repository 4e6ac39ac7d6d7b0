/* SPDX-License-Identifier: Apache-2.0
 *
 * postern-sample-backend: a small HTTPS server for demonstrations and tests. It demands a client
 * certificate issued by a given CA, and answers every request with what it saw of it:
 *
 *   {"subject":"CN=…","thumbprint":"…","path":"/…","tls":"TLSv1.3"}
 *
 * One thread per connection, at most CONNECTIONS_MAX of them; HTTP/1.1 with keep-alive.
 */
#include <arpa/inet.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "certs/certificate.h"

#define CONNECTIONS_MAX 256
#define HEAD_BYTES_MAX  (32u * 1024)
#define BODY_BYTES_MAX  (64u * 1024 * 1024) /* read and thrown away */
#define IDLE_TIMEOUT_S  60

struct options {
    const char *listen, *cert, *key, *ca, *port_file;
};

struct connection {
    int fd;
    SSL_CTX *tls;
};

static atomic_int connection_count;

static const char usage[] =
    "usage: postern-sample-backend --cert FILE --key FILE --ca FILE [--listen HOST:PORT]\n"
    "                              [--port-file FILE]\n"
    "\n"
    "An HTTPS server that demands a client certificate issued by --ca and answers with the "
    "subject\n"
    "and the SHA-1 thumbprint that it saw.\n"
    "\n"
    "  --cert FILE         its certificate (PEM, chain may follow)\n"
    "  --key FILE          the key of it (PEM)\n"
    "  --ca FILE           who must have issued the clients' certificates (PEM)\n"
    "  --listen HOST:PORT  default 127.0.0.1:0 (any free port)\n"
    "  --port-file FILE    the port is written there once it listens\n"
    "\n"
    "example: postern-sample-backend --cert server.pem --key server.key --ca ca.pem\n";

/* ---- one connection */

/* Reads until the head's empty line is in `in`; its length, or 0 when the client is done. */
static size_t read_head(SSL *ssl, struct pn_buf *in)
{
    for (;;) {
        struct pn_slice bytes = pn_buf_slice(in);
        size_t end = pn_slice_find_slice(bytes, PN_LIT("\r\n\r\n"));
        char chunk[4096];
        int len;

        if (end < bytes.len)
            return end + 4;
        len = SSL_read(ssl, chunk, (int)sizeof chunk);
        if (len <= 0 || pn_buf_append(in, chunk, (size_t)len) != PN_OK)
            return 0;
    }
}

/* The first value of a header, or an empty slice. */
static struct pn_slice header(struct pn_slice head, const char *name)
{
    struct pn_slice line;

    while (pn_slice_cut(&head, '\n', &line)) {
        size_t colon = pn_slice_find(line, ':');

        if (colon < line.len && pn_slice_case_eq_str(pn_slice_sub(line, 0, colon), name))
            return pn_slice_trim(pn_slice_sub(line, colon + 1, line.len));
    }
    return (struct pn_slice){0};
}

/* Throws `len` bytes of body away; some may be in `in` already. */
static bool skip_body(SSL *ssl, struct pn_buf *in, uint64_t len)
{
    size_t here = in->len < len ? in->len : (size_t)len;
    char chunk[16384];

    pn_buf_consume(in, here);
    len -= here;
    while (len > 0) {
        int want = len < sizeof chunk ? (int)len : (int)sizeof chunk;
        int got = SSL_read(ssl, chunk, want);

        if (got <= 0)
            return false;
        len -= (uint64_t)got;
    }
    return true;
}

static bool write_all(SSL *ssl, struct pn_slice bytes)
{
    return SSL_write(ssl, bytes.ptr, (int)bytes.len) == (int)bytes.len;
}

static enum pn_rc make_body(SSL *ssl, const struct pn_certificate *client, struct pn_slice path,
                            struct pn_buf *out)
{
    json_t *body = json_pack("{s:s, s:s, s:o, s:s}", "subject", pn_certificate_subject(client),
                             "thumbprint", pn_certificate_thumbprint(client), "path",
                             pn_json_from_slice(path), "tls", SSL_get_version(ssl));
    enum pn_rc rc = PN_NOMEM;

    if (body)
        rc = pn_json_dump(body, out);
    if (rc == PN_OK)
        rc = pn_buf_append_byte(out, '\n');
    json_decref(body);
    return rc;
}

static bool answer(SSL *ssl, const struct pn_certificate *client, struct pn_slice method,
                   struct pn_slice path, bool keeps_alive)
{
    struct pn_buf body;
    struct pn_buf out;
    bool is_good = false;

    pn_buf_init(&body, HEAD_BYTES_MAX * 8);
    pn_buf_init(&out, HEAD_BYTES_MAX * 9);
    if (make_body(ssl, client, path, &body) == PN_OK &&
        pn_buf_printf(&out,
                      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                      "Content-Length: %zu\r\nConnection: %s\r\n\r\n",
                      body.len, keeps_alive ? "keep-alive" : "close") == PN_OK &&
        (pn_slice_eq_str(method, "HEAD") ||
         pn_buf_append_slice(&out, pn_buf_slice(&body)) == PN_OK))
        is_good = write_all(ssl, pn_buf_slice(&out));
    pn_buf_fini(&body);
    pn_buf_fini(&out);
    return is_good;
}

/* One request; false when the connection is to end. */
static bool serve_one(SSL *ssl, const struct pn_certificate *client, struct pn_buf *in)
{
    size_t head_len = read_head(ssl, in);
    struct pn_slice head = pn_slice_sub(pn_buf_slice(in), 0, head_len);
    struct pn_slice rest = head;
    struct pn_slice line;
    struct pn_slice method = {0};
    struct pn_slice path = {0};
    struct pn_slice length;
    uint64_t body_len = 0;
    bool keeps_alive;
    bool is_good;

    if (head_len == 0 || !pn_slice_cut(&rest, '\n', &line) || !pn_slice_cut(&line, ' ', &method) ||
        !pn_slice_cut(&line, ' ', &path))
        return false;
    length = header(rest, "Content-Length");
    if (length.len > 0 && !pn_slice_to_u64(length, BODY_BYTES_MAX, &body_len))
        return false;
    /* A chunked body is not read to its end: the answer closes the connection instead. */
    keeps_alive = !pn_slice_case_eq_str(header(rest, "Connection"), "close") &&
                  !header(rest, "Transfer-Encoding").ptr;
    if (pn_slice_case_eq_str(header(rest, "Expect"), "100-continue") &&
        !write_all(ssl, PN_LIT("HTTP/1.1 100 Continue\r\n\r\n")))
        return false;
    is_good = answer(ssl, client, method, path, keeps_alive);
    pn_buf_consume(in, head_len);
    return is_good && keeps_alive && skip_body(ssl, in, body_len);
}

static void log_refused(const char *event)
{
    struct pn_error err = {0};

    pn_error_from_openssl(&err, PN_DENIED, "tls", "%s", event);
    pn_log_error(PN_LOG_WARN, event, &err);
}

static void serve(SSL *ssl)
{
    struct pn_certificate *client = NULL;
    struct pn_error err = {0};
    struct pn_buf in;

    if (SSL_accept(ssl) != 1) {
        log_refused("handshake_refused");
        return;
    }
    if (pn_certificate_from_x509(SSL_get0_peer_certificate(ssl), &client, &err) != PN_OK) {
        pn_log_error(PN_LOG_WARN, "client_certificate_unreadable", &err);
        return;
    }
    pn_buf_init(&in, HEAD_BYTES_MAX);
    while (serve_one(ssl, client, &in))
        ;
    (void)SSL_shutdown(ssl);
    pn_buf_fini(&in);
    pn_certificate_unref(client);
}

static void *connection_main(void *arg)
{
    struct connection *connection = arg;
    SSL *ssl = SSL_new(connection->tls);

    if (ssl && SSL_set_fd(ssl, connection->fd) == 1)
        serve(ssl);
    SSL_free(ssl);
    ERR_clear_error();
    close(connection->fd);
    free(connection);
    atomic_fetch_sub(&connection_count, 1);
    return NULL;
}

/* ---- listening */

static SSL_CTX *make_tls(const struct options *options)
{
    static const unsigned char context[] = "postern-sample-backend";
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(options->ca);

    if (!tls || !names || SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION) != 1 ||
        SSL_CTX_use_certificate_chain_file(tls, options->cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, options->key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_load_verify_file(tls, options->ca) != 1 ||
        SSL_CTX_set_session_id_context(tls, context, sizeof context - 1) != 1) {
        log_refused("tls_setup_failed");
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        SSL_CTX_free(tls);
        return NULL;
    }
    SSL_CTX_set_client_CA_list(tls, names);
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return tls;
}

static int listen_on(const char *where)
{
    const char *colon = strrchr(where, ':');
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *addresses = NULL;
    char *host = colon ? pn_slice_dup(pn_slice(where, (size_t)(colon - where))) : NULL;
    int one = 1;
    int fd = -1;

    if (host && getaddrinfo(host, colon + 1, &hints, &addresses) == 0) {
        fd = socket(addresses->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
                        bind(fd, addresses->ai_addr, addresses->ai_addrlen) != 0 ||
                        listen(fd, SOMAXCONN) != 0)) {
            close(fd);
            fd = -1;
        }
        freeaddrinfo(addresses);
    }
    free(host);
    if (fd < 0)
        fprintf(stderr, "postern-sample-backend: cannot listen on %s\n", where);
    return fd;
}

static int port_of(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;
    char port[NI_MAXSERV] = "0";

    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0 ||
        getnameinfo((struct sockaddr *)&address, len, NULL, 0, port, sizeof port, NI_NUMERICSERV) !=
            0)
        return 0;
    return (int)strtol(port, NULL, 10);
}

static void start_connection(int fd, SSL_CTX *tls)
{
    struct timeval timeout = {.tv_sec = IDLE_TIMEOUT_S};
    struct connection *connection = calloc(1, sizeof *connection);
    pthread_t thread;
    int one = 1;

    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (!connection || atomic_fetch_add(&connection_count, 1) >= CONNECTIONS_MAX) {
        if (connection)
            atomic_fetch_sub(&connection_count, 1);
        free(connection);
        close(fd);
        return;
    }
    *connection = (struct connection){.fd = fd, .tls = tls};
    if (pthread_create(&thread, NULL, connection_main, connection) != 0) {
        atomic_fetch_sub(&connection_count, 1);
        free(connection);
        close(fd);
        return;
    }
    pthread_detach(thread);
}

static int announce(const struct options *options, int listener)
{
    const char *colon = strrchr(options->listen, ':');
    int port = port_of(listener);
    char text[16];
    struct pn_error err = {0};

    snprintf(text, sizeof text, "%d\n", port);
    if (options->port_file &&
        pn_file_write_atomic(options->port_file, pn_slice_str(text), 0644, &err) != PN_OK) {
        fprintf(stderr, "postern-sample-backend: %s\n", err.message);
        return 1;
    }
    printf("https://%.*s:%d\n", (int)(colon - options->listen), options->listen, port);
    fflush(stdout);
    return 0;
}

static bool parse_options(int argc, char **argv, struct options *options)
{
    static const struct option table[] = {
        {"listen", required_argument, NULL, 'l'},
        {"cert", required_argument, NULL, 'c'},
        {"key", required_argument, NULL, 'k'},
        {"ca", required_argument, NULL, 'a'},
        {"port-file", required_argument, NULL, 'p'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int c = getopt_long(argc, argv, "h", table, NULL);

    for (; c != -1; c = getopt_long(argc, argv, "h", table, NULL)) {
        switch (c) {
        case 'l':
            options->listen = optarg;
            break;
        case 'c':
            options->cert = optarg;
            break;
        case 'k':
            options->key = optarg;
            break;
        case 'a':
            options->ca = optarg;
            break;
        case 'p':
            options->port_file = optarg;
            break;
        case 'h':
            fputs(usage, stdout);
            exit(0);
        default:
            return false;
        }
    }
    return optind == argc && options->cert && options->key && options->ca;
}

int main(int argc, char **argv)
{
    struct options options = {.listen = "127.0.0.1:0"};
    SSL_CTX *tls;
    int listener;

    if (!parse_options(argc, argv, &options)) {
        fputs(usage, stderr);
        return 2;
    }
    pn_log_setup("sample-backend", PN_LOG_WARN);
    (void)signal(SIGPIPE, SIG_IGN);
    tls = make_tls(&options);
    if (!tls)
        return 1;
    listener = listen_on(options.listen);
    if (listener < 0 || announce(&options, listener) != 0) {
        SSL_CTX_free(tls);
        return 1;
    }
    for (;;) { /* until a signal ends the process: there is nothing to save */
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

        if (fd >= 0)
            start_connection(fd, tls);
        else
            usleep(10000); /* out of descriptors: wait for some to close */
    }
}
