/* SPDX-License-Identifier: Apache-2.0
 *
 * The types of expressions: their names, and which becomes which without a cast.
 */
#include <string.h>

#include "policy/expr_internal.h"

static const struct {
    const char *name;
    enum pn_expr_type type;
} type_names[] = {
    {"bool", PN_EXPR_BOOL},
    {"Boolean", PN_EXPR_BOOL},
    {"int", PN_EXPR_INT},
    {"Int32", PN_EXPR_INT},
    {"long", PN_EXPR_LONG},
    {"Int64", PN_EXPR_LONG},
    {"double", PN_EXPR_DOUBLE},
    {"Double", PN_EXPR_DOUBLE},
    {"char", PN_EXPR_CHAR},
    {"Char", PN_EXPR_CHAR},
    {"string", PN_EXPR_STRING},
    {"String", PN_EXPR_STRING},
    {"object", PN_EXPR_OBJECT},
    {"Object", PN_EXPR_OBJECT},
    {"Guid", PN_EXPR_GUID},
    {"DateTime", PN_EXPR_TIME},
    {"TimeSpan", PN_EXPR_SPAN},
    {"StringComparison", PN_EXPR_COMPARISON},
    {"StringSplitOptions", PN_EXPR_SPLIT_OPTIONS},
    {"RegexOptions", PN_EXPR_REGEX_OPTIONS},
    {"Encoding", PN_EXPR_ENCODING},
    {"Convert", PN_EXPR_CLASS_CONVERT},
    {"Uri", PN_EXPR_CLASS_URI},
    {"Regex", PN_EXPR_CLASS_REGEX},
    {"WebUtility", PN_EXPR_CLASS_WEB},
    {"Math", PN_EXPR_CLASS_MATH},
    {"DateTimeOffset", PN_EXPR_CLASS_OFFSET},
};

/* API Management allows them, this release does not have them. */
static const char *const missing_types[] = {
    "Array",
    "BitConverter",
    "Byte",
    "byte",
    "Decimal",
    "decimal",
    "Exception",
    "Int16",
    "short",
    "UInt16",
    "ushort",
    "UInt32",
    "uint",
    "UInt64",
    "ulong",
    "SByte",
    "sbyte",
    "Single",
    "float",
    "MidpointRounding",
    "Nullable",
    "Random",
    "StringComparer",
    "TimeZone",
    "TimeZoneInfo",
    "Tuple",
    "UriPartial",
    "DateTimeKind",
    "Dictionary",
    "HashSet",
    "ICollection",
    "IDictionary",
    "IEnumerable",
    "IEnumerator",
    "IList",
    "IReadOnlyCollection",
    "IReadOnlyDictionary",
    "ISet",
    "KeyValuePair",
    "List",
    "Queue",
    "Stack",
    "StringReader",
    "StringWriter",
    "Enumerable",
    "IPAddress",
    "AsymmetricAlgorithm",
    "CipherMode",
    "HashAlgorithm",
    "HashAlgorithmName",
    "HMAC",
    "HMACMD5",
    "HMACSHA1",
    "HMACSHA256",
    "HMACSHA384",
    "HMACSHA512",
    "KeyedHashAlgorithm",
    "MD5",
    "Oid",
    "PaddingMode",
    "RNGCryptoServiceProvider",
    "RSA",
    "RSAEncryptionPadding",
    "RSASignaturePadding",
    "SHA1",
    "SHA256",
    "SHA384",
    "SHA512",
    "SHA1Managed",
    "SHA256Managed",
    "SHA384Managed",
    "SHA512Managed",
    "SymmetricAlgorithm",
    "Aes",
    "PublicKey",
    "X500DistinguishedName",
    "X509Certificate",
    "X509Certificate2",
    "X509ContentType",
    "X509NameType",
    "StringBuilder",
    "Match",
    "Group",
    "GroupCollection",
    "Capture",
    "CaptureCollection",
    "JsonConvert",
    "Formatting",
    "JArray",
    "JConstructor",
    "JContainer",
    "JObject",
    "JProperty",
    "JRaw",
    "JToken",
    "JTokenType",
    "JValue",
    "XAttribute",
    "XCData",
    "XComment",
    "XContainer",
    "XDeclaration",
    "XDocument",
    "XDocumentType",
    "XElement",
    "XName",
    "XNamespace",
    "XNode",
    "XObject",
    "XProcessingInstruction",
    "XText",
    "XmlNodeType",
    "Jwt",
    "BasicAuthCredentials",
    "IResponse",
    "IRequest",
    "IMessageBody",
    "Enum",
    "Type",
    "var",
    "dynamic",
};

const char *expr_type_name(enum pn_expr_type type)
{
    static const char *const names[] = {
        [PN_EXPR_NULL] = "null",
        [PN_EXPR_BOOL] = "bool",
        [PN_EXPR_INT] = "int",
        [PN_EXPR_LONG] = "long",
        [PN_EXPR_DOUBLE] = "double",
        [PN_EXPR_CHAR] = "char",
        [PN_EXPR_STRING] = "string",
        [PN_EXPR_STRINGS] = "string[]",
        [PN_EXPR_CHARS] = "char[]",
        [PN_EXPR_BYTES] = "byte[]",
        [PN_EXPR_GUID] = "Guid",
        [PN_EXPR_TIME] = "DateTime",
        [PN_EXPR_SPAN] = "TimeSpan",
        [PN_EXPR_OBJECT] = "object",
        [PN_EXPR_COMPARISON] = "StringComparison",
        [PN_EXPR_REGEX_OPTIONS] = "RegexOptions",
        [PN_EXPR_SPLIT_OPTIONS] = "StringSplitOptions",
        [PN_EXPR_ENCODING] = "Encoding",
        [PN_EXPR_MATCH] = "Match",
        [PN_EXPR_GROUPS] = "GroupCollection",
        [PN_EXPR_GROUP] = "Group",
        [PN_EXPR_CREDENTIALS] = "BasicAuthCredentials",
        [PN_EXPR_CONTEXT] = "context",
        [PN_EXPR_REQUEST] = "context.Request",
        [PN_EXPR_RESPONSE] = "context.Response",
        [PN_EXPR_HEADERS] = "Headers",
        [PN_EXPR_URL] = "IUrl",
        [PN_EXPR_QUERY] = "Query",
        [PN_EXPR_PARAMETERS] = "MatchedParameters",
        [PN_EXPR_VARIABLES] = "context.Variables",
        [PN_EXPR_API] = "context.Api",
        [PN_EXPR_OPERATION] = "context.Operation",
        [PN_EXPR_PRODUCT] = "context.Product",
        [PN_EXPR_SUBSCRIPTION] = "context.Subscription",
        [PN_EXPR_DEPLOYMENT] = "context.Deployment",
        [PN_EXPR_LAST_ERROR] = "context.LastError",
        [PN_EXPR_CERTIFICATE] = "X509Certificate2",
        [PN_EXPR_NAME] = "X500DistinguishedName",
        [PN_EXPR_CLASS_CONVERT] = "Convert",
        [PN_EXPR_CLASS_URI] = "Uri",
        [PN_EXPR_CLASS_REGEX] = "Regex",
        [PN_EXPR_CLASS_WEB] = "WebUtility",
        [PN_EXPR_CLASS_MATH] = "Math",
        [PN_EXPR_CLASS_OFFSET] = "DateTimeOffset",
    };

    return names[type];
}

bool expr_find_type(struct pn_slice name, enum pn_expr_type *type)
{
    for (size_t i = 0; i < sizeof(type_names) / sizeof(type_names[0]); i++) {
        if (pn_slice_eq_str(name, type_names[i].name)) {
            *type = type_names[i].type;
            return true;
        }
    }
    return false;
}

bool expr_is_missing_type(struct pn_slice name)
{
    for (size_t i = 0; i < sizeof(missing_types) / sizeof(missing_types[0]); i++)
        if (pn_slice_eq_str(name, missing_types[i]))
            return true;
    return false;
}

bool expr_is_class(enum pn_expr_type type)
{
    return type >= PN_EXPR_CLASS_CONVERT;
}

bool expr_is_number(enum pn_expr_type type)
{
    return type == PN_EXPR_INT || type == PN_EXPR_LONG || type == PN_EXPR_DOUBLE ||
           type == PN_EXPR_CHAR;
}

bool expr_is_reference(enum pn_expr_type type)
{
    switch (type) {
    case PN_EXPR_BOOL:
    case PN_EXPR_INT:
    case PN_EXPR_LONG:
    case PN_EXPR_DOUBLE:
    case PN_EXPR_CHAR:
    case PN_EXPR_GUID:
    case PN_EXPR_TIME:
    case PN_EXPR_SPAN:
    case PN_EXPR_COMPARISON:
    case PN_EXPR_REGEX_OPTIONS:
    case PN_EXPR_SPLIT_OPTIONS:
        return false;
    case PN_EXPR_NULL:
    case PN_EXPR_STRING:
    case PN_EXPR_STRINGS:
    case PN_EXPR_CHARS:
    case PN_EXPR_BYTES:
    case PN_EXPR_OBJECT:
    case PN_EXPR_ENCODING:
    case PN_EXPR_MATCH:
    case PN_EXPR_GROUPS:
    case PN_EXPR_GROUP:
    case PN_EXPR_CREDENTIALS:
    case PN_EXPR_CONTEXT:
    case PN_EXPR_REQUEST:
    case PN_EXPR_RESPONSE:
    case PN_EXPR_HEADERS:
    case PN_EXPR_URL:
    case PN_EXPR_QUERY:
    case PN_EXPR_PARAMETERS:
    case PN_EXPR_VARIABLES:
    case PN_EXPR_API:
    case PN_EXPR_OPERATION:
    case PN_EXPR_PRODUCT:
    case PN_EXPR_SUBSCRIPTION:
    case PN_EXPR_DEPLOYMENT:
    case PN_EXPR_LAST_ERROR:
    case PN_EXPR_CERTIFICATE:
    case PN_EXPR_NAME:
    case PN_EXPR_CLASS_CONVERT:
    case PN_EXPR_CLASS_URI:
    case PN_EXPR_CLASS_REGEX:
    case PN_EXPR_CLASS_WEB:
    case PN_EXPR_CLASS_MATH:
    case PN_EXPR_CLASS_OFFSET:
        return true;
    }
    return false;
}

/* char -> int -> long -> double */
static int rank(enum pn_expr_type type)
{
    return type == PN_EXPR_CHAR ? 1 : type == PN_EXPR_INT ? 2 : type == PN_EXPR_LONG ? 3 : 4;
}

bool expr_converts(const struct expr_node *node, enum pn_expr_type type)
{
    if (node->kind == EXPR_CLASS)
        return false;
    if (type == PN_EXPR_OBJECT)
        return true;
    if (node->is_nullable)
        return false;
    if (node->type == type)
        return true;
    if (node->type == PN_EXPR_NULL)
        return expr_is_reference(type);
    return expr_is_number(node->type) && expr_is_number(type) && rank(node->type) < rank(type) &&
           type != PN_EXPR_CHAR;
}

struct expr_node *expr_coerce(struct expr_compiler *c, struct expr_node *node,
                              enum pn_expr_type type, const char *what)
{
    if (!node)
        return NULL;
    if (!expr_converts(node, type)) {
        if (node->is_nullable && node->type == type)
            expr_fail(&c->lexer, node->offset,
                      "%s must be a %s, and this may be null: say what then, as in (… ?? %s)", what,
                      expr_type_name(type), type == PN_EXPR_BOOL ? "false" : "0");
        else if (node->type == PN_EXPR_OBJECT)
            expr_fail(&c->lexer, node->offset, "%s must be a %s, this is an object: cast it, (%s)…",
                      what, expr_type_name(type), expr_type_name(type));
        else
            expr_fail(&c->lexer, node->offset, "%s must be a %s, this is a %s", what,
                      expr_type_name(type), expr_type_name(node->type));
        return NULL;
    }
    if (node->type == type || node->type == PN_EXPR_NULL || type == PN_EXPR_OBJECT)
        return node;
    return expr_node(c, EXPR_CONVERT, type, node->offset, node, NULL, NULL);
}

/** What a cast can do at all: numbers, and out of an object whatever is in it. */
static bool can_cast(const struct expr_node *node, enum pn_expr_type type)
{
    if (expr_is_class(type) || node->kind == EXPR_CLASS)
        return false;
    if (node->type == type || node->type == PN_EXPR_OBJECT || type == PN_EXPR_OBJECT)
        return true;
    if (expr_is_number(node->type) && expr_is_number(type))
        return true;
    return node->type == PN_EXPR_NULL && expr_is_reference(type);
}

struct expr_node *expr_cast(struct expr_compiler *c, struct expr_node *node, enum pn_expr_type type,
                            size_t offset)
{
    struct expr_node *cast;

    if (!node)
        return NULL;
    if (!can_cast(node, type)) {
        expr_fail(&c->lexer, offset, "a %s cannot be cast to %s%s", expr_type_name(node->type),
                  expr_type_name(type),
                  type == PN_EXPR_STRING ? "; use .ToString()"
                  : node->type == PN_EXPR_STRING && expr_is_number(type)
                      ? "; use int.Parse, long.Parse or double.Parse"
                      : "");
        return NULL;
    }
    cast = expr_node(c, EXPR_CONVERT, type, offset, node, NULL, NULL);
    return cast;
}

/** A number, or null, as one of a wider type. */
static struct expr_node *widen(struct expr_compiler *c, struct expr_node *node,
                               enum pn_expr_type type)
{
    struct expr_node *wide;

    if (node->type == type)
        return node;
    wide = expr_node(c, EXPR_CONVERT, type, node->offset, node, NULL, NULL);
    if (wide)
        wide->is_nullable = node->is_nullable;
    return wide;
}

bool expr_unify(struct expr_compiler *c, struct expr_node **a, struct expr_node **b,
                enum pn_expr_type *type, bool *is_nullable)
{
    enum pn_expr_type left = (*a)->type, right = (*b)->type;

    *is_nullable = (*a)->is_nullable || (*b)->is_nullable;
    if ((*a)->kind == EXPR_CLASS || (*b)->kind == EXPR_CLASS)
        return false;
    if (left == right) {
        *type = left;
        return true;
    }
    if (left == PN_EXPR_OBJECT || right == PN_EXPR_OBJECT) {
        *type = PN_EXPR_OBJECT;
        *is_nullable = false;
        return true;
    }
    if (left == PN_EXPR_NULL || right == PN_EXPR_NULL) {
        *type = left == PN_EXPR_NULL ? right : left;
        *is_nullable = *is_nullable || !expr_is_reference(*type);
        return true;
    }
    if (!expr_is_number(left) || !expr_is_number(right))
        return false;
    *type = rank(left) > rank(right) ? left : right;
    *a = widen(c, *a, *type);
    *b = widen(c, *b, *type);
    return *a && *b;
}
