/* SPDX-License-Identifier: Apache-2.0
 *
 * YAML by libyaml, as JSON. Plain scalars are typed by the core schema (YAML 1.2.2 §10.3.2): null,
 * true, false, numbers; everything else, and what is quoted, is text.
 *
 * An alias is written out where it stands, and every node is counted, so that a document that
 * multiplies itself by aliases meets PN_OPENAPI_NODES_MAX.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/json.h"
#include "openapi/openapi.h"

struct reader {
    yaml_document_t *document;
    size_t nodes;
    struct pn_error *err;
};

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

static bool is_integer(const char *text)
{
    size_t len;

    text += *text == '-' || *text == '+';
    len = strspn(text, "0123456789");
    return len > 0 && len < 19 && text[len] == '\0';
}

static bool is_number(const char *text)
{
    char *end = NULL;

    if (!strpbrk(text, "0123456789") || strspn(text, "+-.0123456789eE") != strlen(text))
        return false;
    errno = 0;
    (void)strtod(text, &end);
    return *end == '\0' && errno == 0;
}

static json_t *scalar(const yaml_node_t *node)
{
    static const char *const nulls[] = {"", "null", "Null", "NULL", "~", NULL};
    static const char *const yes[] = {"true", "True", "TRUE", NULL};
    static const char *const no[] = {"false", "False", "FALSE", NULL};
    const char *text = (const char *)node->data.scalar.value;
    size_t len = node->data.scalar.length;

    if (node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && strlen(text) == len) {
        if (is_one_of(text, nulls))
            return json_null();
        if (is_one_of(text, yes))
            return json_true();
        if (is_one_of(text, no))
            return json_false();
        if (is_integer(text))
            return json_integer(strtoll(text, NULL, 10));
        if (is_number(text))
            return json_real(strtod(text, NULL));
    }
    return json_stringn(text, len);
}

static enum pn_rc convert(struct reader *reader, int index, int depth, json_t **out);

static enum pn_rc convert_pair(struct reader *reader, const yaml_node_pair_t *pair, int depth,
                               json_t *object)
{
    const yaml_node_t *key = yaml_document_get_node(reader->document, pair->key);
    json_t *value = NULL;
    enum pn_rc rc;

    if (key->type != YAML_SCALAR_NODE || strlen((const char *)key->data.scalar.value) == 0)
        return pn_error_set(reader->err, PN_MALFORMED, "yaml", "line %zu: a key must be text",
                            key->start_mark.line + 1);
    if (json_object_get(object, (const char *)key->data.scalar.value))
        return pn_error_set(reader->err, PN_MALFORMED, "yaml",
                            "line %zu: the key '%.100s' is there twice", key->start_mark.line + 1,
                            (const char *)key->data.scalar.value);
    rc = convert(reader, pair->value, depth, &value);
    if (rc == PN_OK &&
        json_object_set_new(object, (const char *)key->data.scalar.value, value) != 0)
        rc = pn_error_set(reader->err, PN_MALFORMED, "yaml", "line %zu: a key must be UTF-8 text",
                          key->start_mark.line + 1);
    return rc;
}

static enum pn_rc convert_members(struct reader *reader, const yaml_node_t *node, int depth,
                                  json_t *value)
{
    enum pn_rc rc = PN_OK;

    if (node->type == YAML_MAPPING_NODE) {
        for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
             rc == PN_OK && pair < node->data.mapping.pairs.top; pair++)
            rc = convert_pair(reader, pair, depth, value);
        return rc;
    }
    for (const yaml_node_item_t *item = node->data.sequence.items.start;
         rc == PN_OK && item < node->data.sequence.items.top; item++) {
        json_t *member = NULL;

        rc = convert(reader, *item, depth, &member);
        if (rc == PN_OK && json_array_append_new(value, member) != 0)
            rc = pn_error_set(reader->err, PN_NOMEM, "out_of_memory", "out of memory");
    }
    return rc;
}

static enum pn_rc convert(struct reader *reader, int index, int depth, json_t **out)
{
    const yaml_node_t *node = yaml_document_get_node(reader->document, index);
    json_t *value = NULL;
    enum pn_rc rc = PN_OK;

    if (++reader->nodes > PN_OPENAPI_NODES_MAX)
        return pn_error_set(reader->err, PN_LIMIT, "too_large",
                            "the document has more than %d values, aliases counted each time",
                            PN_OPENAPI_NODES_MAX);
    if (depth > PN_OPENAPI_DEPTH_MAX)
        return pn_error_set(reader->err, PN_LIMIT, "too_deep",
                            "line %zu: the document is nested deeper than %d levels",
                            node->start_mark.line + 1, PN_OPENAPI_DEPTH_MAX);
    if (node->type == YAML_SCALAR_NODE) {
        value = scalar(node);
        if (!value)
            return pn_error_set(reader->err, PN_MALFORMED, "yaml", "line %zu: no UTF-8 text",
                                node->start_mark.line + 1);
    } else {
        value = node->type == YAML_MAPPING_NODE ? json_object() : json_array();
        rc = value ? convert_members(reader, node, depth + 1, value)
                   : pn_error_set(reader->err, PN_NOMEM, "out_of_memory", "out of memory");
    }
    if (rc == PN_OK)
        *out = value;
    else
        json_decref(value);
    return rc;
}

static enum pn_rc fail_parse(const yaml_parser_t *parser, struct pn_error *err)
{
    if (parser->error == YAML_MEMORY_ERROR)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    return pn_error_set(err, PN_MALFORMED, "yaml", "line %zu: %s", parser->problem_mark.line + 1,
                        parser->problem ? parser->problem : "no YAML");
}

enum pn_rc pn_yaml_parse(struct pn_slice text, json_t **out, struct pn_error *err)
{
    yaml_parser_t parser;
    yaml_document_t document;
    struct reader reader = {&document, 0, err};
    json_t *value = NULL;
    enum pn_rc rc = PN_OK;

    if (!yaml_parser_initialize(&parser))
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.ptr, text.len);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    if (!yaml_parser_load(&parser, &document)) {
        rc = fail_parse(&parser, err);
        yaml_parser_delete(&parser);
        return rc;
    }
    if (yaml_document_get_root_node(&document))
        rc = convert(&reader, 1, 0, &value);
    else
        rc = pn_error_set(err, PN_MALFORMED, "yaml", "the document is empty");
    yaml_document_delete(&document);
    if (rc == PN_OK && !yaml_parser_load(&parser, &document)) {
        rc = fail_parse(&parser, err);
    } else if (rc == PN_OK) {
        if (yaml_document_get_root_node(&document))
            rc = pn_error_set(err, PN_MALFORMED, "yaml", "there is more than one document in it");
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    if (rc == PN_OK)
        *out = value;
    else
        json_decref(value);
    return rc;
}
