/* SPDX-License-Identifier: Apache-2.0
 *
 * What `postern serve` was told: flags first, then the configuration file, then the defaults.
 *
 * The file is a YAML mapping whose keys are the flags without dashes; limits are a mapping in it:
 *
 *   data: /var/lib/postern
 *   gateway: 0.0.0.0:8080
 *   gateway-tls:
 *     - 0.0.0.0:8443
 *     - 10.0.0.1:8444,proxy,trusted=10.0.0.0/8
 *   log-level: info
 *   limits:
 *     client-connections: 50000
 *     drain-timeout: 2m
 *
 * An unknown or repeated key, or a value that does not fit, is an error with its line.
 */
#pragma once

#include <limits.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/log.h"
#include "supervisor/listen_value.h"

#define PN_CONFIG_BYTES_MAX 65536
#define PN_THREADS_MAX      256
#define PN_ADDRESS_MAX      2048 /* all addresses of a listener */

enum pn_listen {
    PN_LISTEN_GATEWAY,
    PN_LISTEN_GATEWAY_TLS,
    PN_LISTEN_CONTROL,
    PN_LISTEN_VAULT,
    PN_LISTEN_IDENTITY, /* for applications beside the gateway */
    PN_LISTEN_COUNT
};

#define PN_OPTION_WEBHOOKS_MAX   8
#define PN_OPTION_WEBHOOKS_BYTES 16384
/* Settings that are lists of texts, for control to understand. */
enum pn_texts {
    PN_TEXTS_ENDPOINT_IDENTITY,
    PN_TEXTS_TRUSTED_ISSUER,
    PN_TEXTS_TOKEN_SOURCE,
    PN_TEXTS_COUNT
};
#define PN_OPTION_TEXTS_BYTES 8192
#define PN_DNS_SERVERS_MAX    512 /* bytes of --dns-servers, with NUL */

struct pn_options {
    char data_dir[PATH_MAX];
    char config_file[PATH_MAX];                        /* "" = none */
    char listen[PN_LISTEN_COUNT][PN_ADDRESS_MAX];      /* as written; several values by spaces */
    struct pn_listen_value addresses[PN_LISTEN_COUNT]; /* the same, understood */
    bool listen_is_given[PN_LISTEN_COUNT];             /* by the source that is being read */
    unsigned threads;                                  /* 0: as many as cores */
    unsigned control_workers;                          /* 0: control's default */
    unsigned rotation_interval_s;                      /* 0: the default */
    char user[64];                                     /* "" = stay who we are */
    char master_key[PATH_MAX];                         /* "": it lies in the folder */
    char x_forwarded[8];                               /* "append", "replace", "off"; "" = append */
    char forwarded[4];                                 /* "on", "off"; "" = off */
    char tls_records[8];                               /* "own", "openssl"; "" = own */
    char link_local_backends[8];                       /* "deny", "allow"; "" = deny */
    char dns_servers[PN_DNS_SERVERS_MAX];              /* "" = those of the system */
    char webhooks[PN_OPTION_WEBHOOKS_BYTES]; /* URLs by spaces, which may hold secrets; "" = none */
    size_t webhook_count;
    bool webhooks_are_given;                           /* by the source that is being read */
    char texts[PN_TEXTS_COUNT][PN_OPTION_TEXTS_BYTES]; /* a line for each value; "" = none */
    bool texts_are_given[PN_TEXTS_COUNT];              /* by the source that is being read */
    char expiry_days[64];                              /* "" = the default */
    char compatibility[16];                            /* "postern", "azure-strict"; "" = postern */
    char linked_access[4];                             /* "on", "off"; "" = off */
    enum pn_log_level log_level;
    uint64_t limits[PN_LIMIT_COUNT];
    bool checks_only;  /* --check */
    char *config_text; /* of the configuration file; NULL: none; pn_options_fini() */
    bool lists_limits; /* --list-limits: print `limits` and end */
};

struct pn_setting {
    const char *name;     /* of the flag, and in the configuration file */
    const char *argument; /* NULL: a flag without one */
    const char *help;
};
/** Every setting of `postern serve`, ended by a NULL name; static text. */
extern const struct pn_setting pn_settings[];

/** Names as in PN_LISTEN_FDS: "gateway", "gateway-tls", "control", "vault", "identity-endpoint". */
extern const char *const pn_listen_names[PN_LISTEN_COUNT];

/** PN_INVALID: err tells which flag or line and what is expected. PN_EOF: --help was printed. */
enum pn_rc pn_options_read(int argc, char **argv, struct pn_options *options,
                           struct pn_error *err) PN_MUST_USE;
/** The same with `config_text` for what the configuration file says (NULL: read it). */
enum pn_rc pn_options_read_as(int argc, char **argv, const char *config_text,
                              struct pn_options *options, struct pn_error *err) PN_MUST_USE;
void pn_options_fini(struct pn_options *options);
