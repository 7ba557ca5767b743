//! opentelemetry/proto/common/v1 and resource/v1: values, attributes, scopes, resources. Tables only.

use super::{Field, Kind, Message, choice, large_piece, many, one, piece, single};

pub(super) static ANY_VALUE: Message = piece(&[
    choice("stringValue", "string_value", 1, Kind::Text),
    choice("intValue", "int_value", 3, Kind::Int64),
    choice("boolValue", "bool_value", 2, Kind::Bool),
    choice("doubleValue", "double_value", 4, Kind::Double),
    choice("arrayValue", "array_value", 5, Kind::Message(&ARRAY_VALUE)),
    choice("kvlistValue", "kvlist_value", 6, Kind::Message(&KEY_VALUE_LIST)),
    choice("bytesValue", "bytes_value", 7, Kind::Bytes),
    choice("stringValueStrindex", "string_value_strindex", 8, Kind::Int32),
]);

static ARRAY_VALUE: Message = piece(&[many("values", "values", 1, Kind::Message(&ANY_VALUE))]);

static KEY_VALUE_LIST: Message = piece(&[many("values", "values", 1, Kind::Message(&KEY_VALUE))]);

pub(super) static KEY_VALUE: Message = piece(&[
    one("key", "key", 1, Kind::Text),
    single("value", "value", 2, &ANY_VALUE),
    one("keyStrindex", "key_strindex", 3, Kind::Int32),
]);

pub(super) static SCOPE: Message = piece(&[
    one("name", "name", 1, Kind::Text),
    one("version", "version", 2, Kind::Text),
    attributes(3),
    dropped_attributes(4),
]);

static ENTITY_REF: Message = piece(&[
    one("schemaUrl", "schema_url", 1, Kind::Text),
    one("type", "type", 2, Kind::Text),
    many("idKeys", "id_keys", 3, Kind::Text),
    many("descriptionKeys", "description_keys", 4, Kind::Text),
]);

pub(super) static RESOURCE: Message = large_piece(&[
    attributes(1),
    dropped_attributes(2),
    many("entityRefs", "entity_refs", 3, Kind::Message(&ENTITY_REF)),
]);

pub(super) const fn attributes(number: u32) -> Field {
    many("attributes", "attributes", number, Kind::Message(&KEY_VALUE))
}

pub(super) const fn dropped_attributes(number: u32) -> Field {
    one("droppedAttributesCount", "dropped_attributes_count", number, Kind::Uint32)
}

pub(super) const fn schema_url() -> Field {
    one("schemaUrl", "schema_url", 3, Kind::Text)
}

pub(super) const fn resource() -> Field {
    single("resource", "resource", 1, &RESOURCE)
}

pub(super) const fn scope() -> Field {
    single("scope", "scope", 1, &SCOPE)
}
