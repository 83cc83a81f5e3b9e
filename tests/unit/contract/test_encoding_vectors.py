"""The encoder gives the published vectors."""

from esmm_dist.contract.encoder import cross_encoder, encode_values, encoder_of
from esmm_dist.contract.encodings import Encodings
from esmm_dist.contract.features import HashEncoding
from tests.factories.encoding_vectors import (
    cross_features,
    list_feature,
    packed,
    value_of,
    vector_features,
    vectors,
)


def test_the_encoder_gives_the_published_vectors() -> None:
    document = vectors()
    known = Encodings(vocabularies={"vocabulary": tuple(document["vocabulary"])})
    features = vector_features(document)
    for vector in document["values"]:
        value = value_of(vector["type"], vector["value"])
        ids = {name: encoder_of(features[name], known)(value) for name in vector["ids"]}
        assert ids == vector["ids"], vector
        assert vector["ids"].keys() == features.keys() - (
            {"buckets"} if vector["type"] == "string" else set()
        )
    for vector in document["lists"]:
        for name, hexadecimal in vector["packed"].items():
            feature = list_feature(features[name], vector["max_length"])
            list_ids = encode_values(
                feature, encoder_of(features[name], known),
                [value_of(vector["type"], text) for text in vector["values"]],
            )
            assert packed(list_ids).hex() == hexadecimal, (name, vector)
    for vector in document["crosses"]:
        values = [value_of(part["type"], part["value"]) for part in vector["values"]]
        for name, expected in vector["ids"].items():
            encode = features[name].encode
            assert isinstance(encode, HashEncoding)
            cross, parts = cross_features(vector, encode, document["boundaries"])
            assert cross_encoder(cross, parts, known)(values) == expected, (name, vector)
