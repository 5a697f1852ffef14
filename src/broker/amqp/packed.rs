//! A message's properties as a lane's consumer keeps them until the message is settled. In memory they take more than a
//! kilobyte, mostly for those that are not set; encoded for the wire, some sixty bytes. Only a dead letter needs them again.

use amq_protocol::protocol::basic::{gen_properties, parse_properties};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

/// Tables that are nested more deeply are not packed: decoding recurses once for each level.
const DEEPEST_PACKED: u32 = 32;

#[derive(Debug)]
pub(in crate::broker) enum PackedProperties {
    Encoded(Box<[u8]>),
    /// Properties that would not come out as they went in: with a number that is not equal to itself, or tables nested too
    /// deeply.
    Whole(Box<BasicProperties>),
}

impl PackedProperties {
    pub(in crate::broker) fn new(properties: BasicProperties) -> Self {
        let headers = properties.headers().as_ref();
        if headers.is_none_or(|headers| table_within(headers, DEEPEST_PACKED))
            && let Ok(wire) = cookie_factory::gen_simple(gen_properties(&properties), Vec::new())
            && parsed(&wire).as_ref() == Some(&properties)
        {
            return Self::Encoded(wire.into());
        }
        Self::Whole(Box::new(properties))
    }

    pub(in crate::broker) fn unpack(&self) -> BasicProperties {
        match self {
            Self::Encoded(wire) => parsed(wire).unwrap_or_default(),
            Self::Whole(properties) => (**properties).clone(),
        }
    }
}

fn parsed(wire: &[u8]) -> Option<BasicProperties> {
    parse_properties(wire).ok().map(|(_, properties)| properties)
}

/// Whether tables and arrays are nested at most so deeply.
fn table_within(table: &FieldTable, depth: u32) -> bool {
    depth > 0 && table.inner().values().all(|value| within(value, depth - 1))
}

fn within(value: &AMQPValue, depth: u32) -> bool {
    if let AMQPValue::FieldTable(table) = value {
        table_within(table, depth)
    } else if let AMQPValue::FieldArray(items) = value {
        depth > 0 && items.as_slice().iter().all(|item| within(item, depth - 1))
    } else {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapin::types::FieldArray;

    #[test]
    fn properties_come_out_as_they_went_in() {
        let mut headers = FieldTable::default();
        headers.insert("a".into(), AMQPValue::LongString("text".into()));
        headers.insert("n".into(), AMQPValue::LongLongInt(-5));
        let plain = BasicProperties::default().with_headers(headers.clone()).with_delivery_mode(2);
        let packed = PackedProperties::new(plain.clone());
        assert!(matches!(&packed, PackedProperties::Encoded(wire) if wire.len() < 60));
        assert_eq!(packed.unpack(), plain);
        headers.insert("nan".into(), AMQPValue::Double(f64::NAN));
        let odd = PackedProperties::new(BasicProperties::default().with_headers(headers));
        assert!(matches!(&odd, PackedProperties::Whole(_)));
        assert_eq!(odd.unpack().headers().as_ref().map(|headers| headers.inner().len()), Some(3));
        let mut value = AMQPValue::Void;
        for _ in 0..10_000 {
            value = AMQPValue::FieldArray(FieldArray::from(vec![value]));
        }
        let mut headers = FieldTable::default();
        headers.insert("deep".into(), value);
        let deep = PackedProperties::new(BasicProperties::default().with_headers(headers));
        assert!(matches!(&deep, PackedProperties::Whole(_)));
        // Dropping it recurses for each level, and would overflow the stack.
        std::mem::forget(deep);
    }
}
