package peer;

import anthropic_graph.changes.Envelope;
import anthropic_graph.changes.Source;
import anthropic_graph.graph.Element;
import anthropic_graph.raw.RawRecord;
import anthropic_graph.raw.Resource;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Set;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.EncoderFactory;
import org.apache.avro.message.BinaryMessageDecoder;
import org.apache.avro.message.BinaryMessageEncoder;
import org.apache.avro.specific.SpecificDatumWriter;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * Compares each resource with the state, and writes a change and the new state where it differs. What a whole listing
 * lacks is deleted at its manifest.
 *
 * <p>It promises less than the processor: changes of a listing that never ends stay, nothing guards deletions, no
 * relationship waits for its end, and a crash forgets which resources of an open listing it has seen.
 */
final class Reconciler implements Processor<byte[], byte[], byte[], byte[]> {
    static final String ELEMENTS = "elements";
    static final String COUNTS = "counts";

    private final Progress progress;
    private final BinaryMessageDecoder<RawRecord> rawRecords = RawRecord.getDecoder();
    private final BinaryMessageEncoder<Envelope> envelopes = Envelope.getEncoder();
    private final SpecificDatumWriter<Resource> resources = new SpecificDatumWriter<>(Resource.getClassSchema());
    private final ByteArrayOutputStream buffer = new ByteArrayOutputStream(1024);
    private final MessageDigest sha256 = sha256();
    private BinaryEncoder encoder;

    private ProcessorContext<byte[], byte[]> context;
    private KeyValueStore<String, Element> elements;
    private KeyValueStore<String, Long> counts;

    /** Keys of the entities of the open listing, and how many of them were known before. */
    private final Set<String> seen = new HashSet<>();
    private long known;
    private long revision;

    Reconciler(Progress progress) {
        this.progress = progress;
    }

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
        this.context = context;
        elements = context.getStateStore(ELEMENTS);
        counts = context.getStateStore(COUNTS);
        Long last = counts.get("revision");
        revision = last == null ? 0 : last;
    }

    @Override
    public void process(Record<byte[], byte[]> input) {
        try {
            RawRecord raw = rawRecords.decode(input.value(), null);
            if (raw.getResource() != null) {
                resource(raw);
            } else if (raw.getManifest() != null) {
                manifest(raw);
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        long offset = context.recordMetadata().orElseThrow().offset();
        if (progress.passed(offset)) {
            context.commit();
        }
    }

    private void resource(RawRecord raw) throws IOException {
        String prefix = raw.getOrganizationId() + "/";
        String entityKey = Mapping.entityKey(raw.getResource());
        String digest = digest(raw.getResource());
        boolean isNew = seen.add(entityKey);
        Element stored = elements.get(prefix + entityKey);
        if (stored != null && isNew) {
            known++;
        }
        if (stored != null && stored.getDigest().equals(digest)) {
            return;
        }
        Set<String> kept = new HashSet<>();
        for (Element after : Mapping.elements(raw, digest)) {
            kept.add(after.getKey());
            Element before = elements.get(prefix + after.getKey());
            write(raw, before, after, null);
        }
        if (stored != null) {
            for (String key : relationshipsOf(stored)) {
                Element before = kept.contains(key) ? null : elements.get(prefix + key);
                if (before != null) {
                    write(raw, before, null, "absent");
                }
            }
        }
    }

    /** The keys of the relationships that an API key had: those of other entities never change. */
    private static List<String> relationshipsOf(Element entity) {
        List<String> keys = new ArrayList<>(2);
        if (entity.getApiKey() != null) {
            if ("user".equals(entity.getApiKey().getCreatorType())) {
                keys.add("anthropic_user:" + entity.getApiKey().getCreatedBy() + "|created|" + entity.getKey());
            }
            if (entity.getApiKey().getWorkspaceId() != null) {
                keys.add("anthropic_workspace:" + entity.getApiKey().getWorkspaceId() + "|has|" + entity.getKey());
            }
        }
        return keys;
    }

    private void manifest(RawRecord raw) throws IOException {
        String of = raw.getOrganizationId() + "/" + raw.getCollection();
        Long before = counts.get(of);
        // All that is known was seen: nothing is absent, and the state need not be read.
        if (before != null && known < before) {
            deleteAbsent(raw);
        }
        counts.put(of, (long) seen.size());
        counts.put("revision", revision);
        seen.clear();
        known = 0;
    }

    private void deleteAbsent(RawRecord raw) throws IOException {
        String prefix = raw.getOrganizationId() + "/";
        List<Element> absent = new ArrayList<>();
        try (KeyValueIterator<String, Element> all = elements.range(prefix, prefix + "\uffff")) {
            while (all.hasNext()) {
                KeyValue<String, Element> next = all.next();
                Element element = next.value;
                String owner = element.getToKey() == null ? element.getKey() : element.getToKey();
                if (element.getCollection().equals(raw.getCollection()) && !seen.contains(owner)) {
                    absent.add(element);
                }
            }
        }
        for (Element element : absent) {
            write(raw, element, null, "absent");
        }
    }

    private void write(RawRecord raw, Element before, Element after, String reason) throws IOException {
        Element element = after == null ? before : after;
        String key = raw.getOrganizationId() + "/" + element.getKey();
        boolean isFirst = counts.get(raw.getOrganizationId() + "/" + raw.getCollection()) == null;
        Instant time = raw.getObservedTsMs();
        String op = after == null ? "d" : before != null ? "u" : isFirst ? "r" : "c";
        revision++;
        String id = hash((raw.getListingId() + "/" + element.getKey()).getBytes(StandardCharsets.UTF_8));
        Envelope envelope = new Envelope(
                id,
                op,
                before,
                after,
                time,
                new Source(
                        "0.1.0",
                        "anthropic-graph",
                        raw.getOrganizationName(),
                        time,
                        Boolean.toString(isFirst),
                        raw.getOrganizationId(),
                        raw.getCollection(),
                        raw.getListingId(),
                        null),
                revision,
                element.getFromKey() == null ? "entity" : "relationship",
                element.getKey(),
                element.getType(),
                List.of(),
                reason,
                null,
                time);
        ByteBuffer value = envelopes.encode(envelope);
        byte[] bytes = new byte[value.remaining()];
        value.get(bytes);
        Headers headers = headers(id, raw.getOrganizationId(), element.getKey(), time);
        context.forward(new Record<>(
                key.getBytes(StandardCharsets.UTF_8), bytes, time.toEpochMilli(), headers));
        elements.put(key, after);
    }

    private static Headers headers(String id, String organizationId, String elementKey, Instant time) {
        String[] pairs = {
            "ce_specversion", "1.0",
            "ce_id", id,
            "ce_type", "anthropic_graph.change",
            "ce_source", "/anthropic-graph/" + organizationId,
            "ce_subject", elementKey,
            "ce_time", time.toString(),
            "content-type", "avro/binary",
            "anthropic_graph.version", "0.1.0",
            "ce_cause", "live",
        };
        RecordHeaders headers = new RecordHeaders();
        for (int index = 0; index < pairs.length; index += 2) {
            headers.add(pairs[index], pairs[index + 1].getBytes(StandardCharsets.UTF_8));
        }
        return headers;
    }

    private String digest(Resource resource) throws IOException {
        buffer.reset();
        encoder = EncoderFactory.get().binaryEncoder(buffer, encoder);
        resources.write(resource, encoder);
        encoder.flush();
        return hash(buffer.toByteArray()) + "." + "00000000000000000000000000000000";
    }

    /** 128 bits of SHA-256 in hexadecimal. */
    private String hash(byte[] bytes) {
        return HexFormat.of().formatHex(sha256.digest(bytes), 0, 16);
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException("every Java has SHA-256", error);
        }
    }
}
