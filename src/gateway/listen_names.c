/* SPDX-License-Identifier: Apache-2.0
 *
 * From items to the TLS listener. The default comes first: the host name with defaultSslBinding,
 * else our own certificate, else the first host name.
 */
#include "gateway/listen_names.h"

#define HTTP2_SWITCH "Microsoft.WindowsAzure.ApiManagement.Gateway.Protocols.Server.Http2"

static enum pn_alpn alpn_of(const struct pn_item *service)
{
    const json_t *switches =
        service ? json_object_get(service->properties, "customProperties") : NULL;

    if (pn_slice_case_eq_str(pn_json_slice(switches, HTTP2_SWITCH), "false"))
        return PN_ALPN_HTTP11;
    return PN_FRONT_ALPN;
}

static bool is_default(const struct pn_item *hostname)
{
    return pn_json_bool(hostname->properties, "defaultSslBinding", false);
}

static void add_hostname(struct pn_tls_host *hosts, size_t *count, const struct pn_item *hostname)
{
    hosts[(*count)++] = (struct pn_tls_host){
        .name = pn_json_str(hostname->properties, "hostName"),
        .certificate = hostname->as.certificate->tls,
        .asks_certificate = pn_json_bool(hostname->properties, "negotiateClientCertificate", false),
    };
}

static void add_own(struct pn_tls_host *hosts, size_t *count, const struct pn_item *service)
{
    const json_t *said = service ? json_object_get(service->internal, "builtInHostname") : NULL;

    if (!service || !service->as.certificate || !service->as.certificate->tls)
        return;
    hosts[(*count)++] = (struct pn_tls_host){
        .certificate = service->as.certificate->tls,
        .asks_certificate = pn_json_bool(said, "negotiateClientCertificate", false),
    };
}

enum pn_rc pn_listen_names_make(const struct pn_item *service, struct pn_item *const *hostnames,
                                size_t count, struct pn_tls_tickets *tickets, bool own_records,
                                struct pn_tls_server **server, struct pn_error *err)
{
    struct pn_tls_host hosts[PN_TLS_SERVER_HOSTS_MAX];
    struct pn_tls_server_spec spec = {.hosts = hosts,
                                      .alpn = alpn_of(service),
                                      .tickets = tickets,
                                      .use_own_records = own_records};
    struct pn_signer *signer = service ? service->house->signer : NULL;

    *server = NULL;
    if (count >= PN_TLS_SERVER_HOSTS_MAX)
        return pn_error_set(err, PN_LIMIT, "too_many_hostnames",
                            "more than %d host names at the TLS listener",
                            PN_TLS_SERVER_HOSTS_MAX - 1);
    for (size_t i = 0; i < count; i++) {
        if (is_default(hostnames[i]))
            add_hostname(hosts, &spec.host_count, hostnames[i]);
        signer = hostnames[i]->house->signer;
    }
    add_own(hosts, &spec.host_count, service);
    for (size_t i = 0; i < count; i++) {
        if (!is_default(hostnames[i]))
            add_hostname(hosts, &spec.host_count, hostnames[i]);
    }
    if (spec.host_count == 0)
        return PN_OK;
    return pn_tls_server_create(signer, &spec, server, err);
}
