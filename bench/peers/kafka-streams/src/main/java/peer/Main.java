package peer;

import anthropic_graph.graph.Element;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import org.apache.avro.message.BinaryMessageDecoder;
import org.apache.avro.message.BinaryMessageEncoder;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AdminClientConfig;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.CloseOptions;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.processor.StateRestoreListener;
import org.apache.kafka.streams.processor.api.ProcessorSupplier;
import org.apache.kafka.streams.state.KeyValueBytesStoreSupplier;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/**
 * The processor's job in Kafka Streams, until the raw partition's last record is committed. Prints one line of JSON.
 *
 * <p>Arguments: the bootstrap servers, the raw topic and partition, its end offset, the topic of the changes, the
 * application's ID, {@code memory} or {@code rocksdb}, a folder for the state.
 */
public final class Main {
    private Main() {}

    /** Runs it. */
    public static void main(String[] arguments) throws Exception {
        String servers = arguments[0];
        TopicPartition raw = new TopicPartition(arguments[1], Integer.parseInt(arguments[2]));
        long end = Long.parseLong(arguments[3]);
        String application = arguments[5];
        Progress progress = new Progress(end - 1);
        Topology topology = topology(raw, arguments[4], arguments[6].equals("rocksdb"), progress);
        KafkaStreams streams = new KafkaStreams(topology, settings(servers, application, arguments[7]));
        CountDownLatch ready = new CountDownLatch(1);
        streams.setGlobalStateRestoreListener(restores(progress));
        streams.setStateListener((now, before) -> {
            if (now == KafkaStreams.State.RUNNING) {
                progress.runs();
                ready.countDown();
            }
        });
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            Runtime.getRuntime().halt(1);
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        try (Admin admin = Admin.create(Map.of(AdminClientConfig.BOOTSTRAP_SERVERS_CONFIG, servers))) {
            boolean isDone = committed(admin, application, raw) >= end;
            streams.start();
            ready.await();
            while (!isDone) {
                Thread.sleep(progress.isLastProcessed() ? 1 : 5);
                isDone = progress.isLastProcessed() && committed(admin, application, raw) >= end;
            }
            System.out.println(progress.report(System.nanoTime()));
        }
        streams.close(CloseOptions.timeout(Duration.ofSeconds(30))
                .withGroupMembershipOperation(CloseOptions.GroupMembershipOperation.LEAVE_GROUP));
    }

    private static long committed(Admin admin, String group, TopicPartition partition) throws Exception {
        OffsetAndMetadata offset = admin.listConsumerGroupOffsets(group)
                .partitionsToOffsetAndMetadata()
                .get()
                .get(partition);
        return offset == null ? -1 : offset.offset();
    }

    private static Topology topology(TopicPartition raw, String changes, boolean isOnDisk, Progress progress) {
        // Compaction waits as it does for the processor's graph.
        Map<String, String> changelog = Map.of("min.compaction.lag.ms", "3600000");
        StoreBuilder<?> elements = Stores.keyValueStoreBuilder(
                        store(Reconciler.ELEMENTS, isOnDisk), Serdes.String(), elements())
                .withLoggingEnabled(changelog);
        StoreBuilder<?> counts = Stores.keyValueStoreBuilder(
                        store(Reconciler.COUNTS, isOnDisk), Serdes.String(), Serdes.Long())
                .withLoggingEnabled(changelog);
        ProcessorSupplier<byte[], byte[], byte[], byte[]> reconciler = () -> new Reconciler(progress);
        return new Topology()
                .addSource("raw", Serdes.ByteArray().deserializer(), Serdes.ByteArray().deserializer(), raw.topic())
                .addProcessor("reconciler", reconciler, "raw")
                .addStateStore(elements, "reconciler")
                .addStateStore(counts, "reconciler")
                // As the processor: changes stay in the partition of their organization.
                .addSink("changes", changes, new ByteArraySerializer(), new ByteArraySerializer(),
                        (topic, key, value, count) -> Optional.of(Set.of(raw.partition())), "reconciler");
    }

    private static KeyValueBytesStoreSupplier store(String name, boolean isOnDisk) {
        return isOnDisk ? Stores.persistentKeyValueStore(name) : Stores.inMemoryKeyValueStore(name);
    }

    private static Serde<Element> elements() {
        BinaryMessageEncoder<Element> encoder = Element.getEncoder();
        BinaryMessageDecoder<Element> decoder = Element.getDecoder();
        return Serdes.serdeFrom(
                (topic, element) -> element == null ? null : encoded(encoder, element),
                (topic, bytes) -> bytes == null ? null : decoded(decoder, bytes));
    }

    private static byte[] encoded(BinaryMessageEncoder<Element> encoder, Element element) {
        try {
            ByteBuffer value = encoder.encode(element);
            byte[] bytes = new byte[value.remaining()];
            value.get(bytes);
            return bytes;
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private static Element decoded(BinaryMessageDecoder<Element> decoder, byte[] bytes) {
        try {
            return decoder.decode(bytes, null);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private static Properties settings(String servers, String application, String folder) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, servers);
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, application);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, folder);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        // As the processor.
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
        return settings;
    }

    private static StateRestoreListener restores(Progress progress) {
        return new StateRestoreListener() {
            @Override
            public void onRestoreStart(TopicPartition partition, String store, long begin, long end) {
                progress.restoreBegins();
            }

            @Override
            public void onBatchRestored(TopicPartition partition, String store, long end, long records) {}

            @Override
            public void onRestoreEnd(TopicPartition partition, String store, long records) {
                progress.restored(records);
            }
        };
    }
}
