/* SPDX-License-Identifier: Apache-2.0
 *
 * What the gateway takes into use. An item that it cannot read makes it refuse the commit, and with
 * it every later one: such an item must not be stored.
 */
#include <string.h>

#include "arm/arm_internal.h"
#include "base/encode.h"
#include "http/uri.h"

#define TEMPLATE_BYTES_MAX      1000
#define TEMPLATE_SEGMENTS_MAX   128
#define TEMPLATE_PARAMETERS_MAX 32
#define SEGMENT_PARAMETERS_MAX  8

void arm_check_backend_url(struct pn_problems *problems, const char *target, struct pn_slice url)
{
    struct pn_error err = {0};
    struct pn_uri uri;

    if (url.len == 0)
        return;
    if (pn_uri_parse(url, &uri, &err) != PN_OK)
        pn_problem_add(problems, target, "'%s' cannot be used: %s.", target, err.message);
    else if (uri.host.len == 0)
        pn_problem_add(problems, target, "'%s' has no host.", target);
}

static size_t count_byte(struct pn_slice text, char byte)
{
    size_t count = 0;

    for (size_t i = 0; i < text.len; i++)
        count += text.ptr[i] == byte;
    return count;
}

static bool is_wildcard(struct pn_slice segment)
{
    return pn_slice_eq_str(segment, "*") ||
           (segment.len >= 3 && pn_slice_starts_with(segment, PN_LIT("{*")) &&
            pn_slice_find(segment, '}') == segment.len - 1);
}

/** NULL: nothing is wrong with it. */
static const char *path_problem(struct pn_slice path)
{
    struct pn_slice rest = path;
    struct pn_slice segment = {0};
    bool has_wildcard = false;
    size_t segments = 0;

    if (rest.len > 0 && rest.ptr[0] == '/')
        rest = pn_slice_sub(rest, 1, rest.len - 1);
    if (pn_slice_find_slice(path, PN_LIT("}{")) < path.len)
        return "two parameters with nothing between them";
    while (pn_slice_cut(&rest, '/', &segment)) {
        if (has_wildcard)
            return "a wildcard that is not the last segment";
        has_wildcard = is_wildcard(segment);
        if (count_byte(segment, '{') > SEGMENT_PARAMETERS_MAX)
            return "too many parameters in one segment";
        if (!has_wildcard && ++segments > TEMPLATE_SEGMENTS_MAX)
            return "too many segments";
    }
    return NULL;
}

static const char *query_problem(struct pn_slice query)
{
    struct pn_slice rule = {0};

    while (pn_slice_cut(&query, '&', &rule)) {
        size_t equals = pn_slice_find(rule, '=');
        struct pn_slice name = pn_slice_sub(rule, 0, equals);
        struct pn_slice value = equals < rule.len
                                    ? pn_slice_sub(rule, equals + 1, rule.len - equals - 1)
                                    : (struct pn_slice){0};
        bool is_parameter =
            value.len > 2 && value.ptr[0] == '{' && pn_slice_find(value, '}') == value.len - 1;

        if (count_byte(name, '{') > 0 || (!is_parameter && count_byte(value, '{') > 0))
            return "a query value that is neither a literal nor one {parameter}";
    }
    return NULL;
}

void arm_check_url_template(struct pn_problems *problems, struct pn_slice url_template)
{
    size_t question = pn_slice_find(url_template, '?');
    struct pn_slice query =
        question < url_template.len
            ? pn_slice_sub(url_template, question + 1, url_template.len - question - 1)
            : (struct pn_slice){0};
    const char *problem = path_problem(pn_slice_sub(url_template, 0, question));
    struct pn_buf decoded;

    pn_buf_init(&decoded, url_template.len + 1);
    if (!problem && url_template.len > TEMPLATE_BYTES_MAX)
        problem = "more than 1000 bytes";
    if (!problem && count_byte(url_template, '{') > TEMPLATE_PARAMETERS_MAX)
        problem = "too many parameters";
    if (!problem)
        problem = query_problem(query);
    if (!problem && pn_percent_decode(url_template, &decoded) != PN_OK)
        problem = "a broken percent escape";
    pn_buf_fini(&decoded);
    if (problem)
        pn_problem_add(problems, "urlTemplate", "'urlTemplate' has %s.", problem);
}
