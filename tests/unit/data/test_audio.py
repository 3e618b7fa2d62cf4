"""Every format that people have, whole and damaged."""

from __future__ import annotations

import os
import struct
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from asrkit.data.audio import audio_digest, audio_duration_s, open_audio, read_audio
from asrkit.errors import AudioError

LOSSLESS = [
    "WAV PCM_16",
    "WAV PCM_24",
    "WAV FLOAT",
    "WAV DOUBLE",
    "WAVEX PCM_16",
    "RF64 PCM_16",
    "W64 PCM_16",
    "AIFF PCM_16",
    "AU PCM_16",
    "NIST PCM_16",
    "FLAC PCM_16",
    "FLAC PCM_24",
]
LOSSY = ["OGG VORBIS", "OGG OPUS", "MP3 MPEG_LAYER_III"]


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_formats_give_the_samples_written(kind, tmp_path, write_audio) -> None:
    container, subtype = kind.split()
    path = tmp_path / "speech.bin"  # the name's ending tells nothing
    written = write_audio(path, container=container, subtype=subtype)
    audio = read_audio(path, 16000)
    assert audio.samples.dtype == np.float32
    assert audio.sample_rate_hz == 16000
    assert audio.conversion == ""
    assert audio.samples.shape == (16000,)
    np.testing.assert_array_equal(audio.samples, written)
    assert audio_duration_s(path) == 1.0


@pytest.mark.parametrize("kind", LOSSY)
def test_lossy_formats_give_nearly_the_samples_written(kind, tmp_path, write_audio) -> None:
    container, subtype = kind.split()
    path = tmp_path / "speech.bin"
    written = write_audio(path, 3.0, container=container, subtype=subtype)
    audio = read_audio(path, 16000)
    assert audio.samples.shape == (48000,)
    assert np.corrcoef(audio.samples, written)[0, 1] > 0.98
    assert audio_duration_s(path) == 3.0


def test_16_bit_samples_equal_libsndfiles_own_conversion(tmp_path, write_audio) -> None:
    path = tmp_path / "speech.wav"
    write_audio(path)
    expected, _ = soundfile.read(path, dtype="float32")
    np.testing.assert_array_equal(read_audio(path, 16000).samples, expected)


def test_full_scale_is_kept(tmp_path) -> None:
    path = tmp_path / "loud.wav"
    soundfile.write(path, np.array([-32768, 32767, 0], dtype=np.int16), 16000)
    assert read_audio(path, 16000).samples.tolist() == [-1.0, 32767 / 32768, 0.0]


def test_real_sphere_flac_and_opus(shared_data) -> None:
    sphere = shared_data / "timit_sample/TIMIT/TRAIN/DR7/MADD0/SA1.WAV"
    audio = read_audio(sphere, 16000)
    raw = np.frombuffer(sphere.read_bytes()[1024:], dtype="<i2")
    np.testing.assert_array_equal(audio.samples * 32768, raw)
    assert audio_duration_s(sphere) == 53146 / 16000
    flac = shared_data / "librispeech_sample/LibriSpeech/dev-clean/84/121550/84-121550-0000.flac"
    assert len(read_audio(flac, 16000).samples) == round(audio_duration_s(flac) * 16000)
    opus = next((shared_data / "english/audio/arctic").glob("*.opus"))
    assert len(read_audio(opus, 16000).samples) == round(audio_duration_s(opus) * 16000)


def sphere_bytes(samples: np.ndarray, coding: str = "pcm", byte_format: str = "01") -> bytes:
    header = (
        "NIST_1A\n   1024\n"
        "database_id -s5 TIMIT\n"
        f"sample_count -i {len(samples)}\n"
        "sample_rate -i 16000\n"
        "channel_count -i 1\n"
        "sample_n_bytes -i 2\n"
        f"sample_byte_format -s2 {byte_format}\n"
        "sample_sig_bits -i 16\n"
        f"sample_coding -s{len(coding)} {coding}\n"
        "end_head\n"
    )
    return header.encode().ljust(1024) + samples.tobytes()


@pytest.mark.parametrize(("byte_format", "dtype"), [("01", "<i2"), ("10", ">i2")])
def test_fabricated_sphere_in_both_byte_orders(byte_format, dtype, tmp_path) -> None:
    path = tmp_path / "SA1.WAV"
    samples = np.arange(-500, 500, dtype=dtype)
    path.write_bytes(sphere_bytes(samples, byte_format=byte_format))
    np.testing.assert_array_equal(read_audio(path, 16000).samples * 32768, samples)


def test_compressed_sphere_is_refused_as_a_format_not_as_truncated(tmp_path) -> None:
    path = tmp_path / "x.sph"
    samples = np.arange(1000, dtype="<i2")
    path.write_bytes(sphere_bytes(samples, "pcm,embedded-shorten-v2.00")[:1500])
    with pytest.raises(AudioError, match="uncompressed NIST SPHERE"):
        read_audio(path, 16000)


def test_8_khz_is_converted_and_said_so(tmp_path, write_audio) -> None:
    path = tmp_path / "telephone.wav"
    written = write_audio(path, rate_hz=8000)
    audio = read_audio(path, 16000)
    assert audio.conversion == "8000 Hz mono -> 16000 Hz mono"
    assert audio.samples.shape == (16000,)
    assert audio.samples.dtype == np.float32
    np.testing.assert_allclose(audio.samples[200:-200:2], written[100:-100], atol=0.02)
    assert audio_duration_s(path) == 1.0


def test_44_khz_stereo_is_averaged_and_converted(tmp_path, write_audio) -> None:
    path = tmp_path / "music.wav"
    written = write_audio(path, rate_hz=44100, channels=2, subtype="FLOAT")
    audio = read_audio(path, 16000)
    assert audio.conversion == "44100 Hz stereo -> 16000 Hz mono"
    expected = soxr.resample(written.mean(axis=1), 44100, 16000)
    np.testing.assert_allclose(audio.samples, expected, atol=1e-5)


def test_stereo_at_the_right_rate_and_more_channels(tmp_path, write_audio) -> None:
    path = tmp_path / "meeting.wav"
    written = write_audio(path, channels=4)
    audio = read_audio(path, 16000)
    assert audio.conversion == "16000 Hz 4 channels -> 16000 Hz mono"
    np.testing.assert_allclose(audio.samples, written.mean(axis=1), atol=1e-7)


@pytest.mark.parametrize("name", ["Übergröße 録音.wav", "речь.flac", "🎤.wav"])
def test_non_ascii_paths(name, tmp_path, write_audio) -> None:
    folder = tmp_path / "Größe"
    folder.mkdir()
    write_audio(folder / name, container="FLAC" if name.endswith("flac") else "WAV")
    assert len(read_audio(folder / name, 16000).samples) == 16000


@pytest.mark.skipif(os.name != "posix", reason="only POSIX has file names that are just bytes")
def test_a_path_that_is_not_utf_8(tmp_path, write_audio) -> None:
    write_audio(tmp_path / "x.wav")
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    try:
        (tmp_path / "x.wav").rename(path)
    except OSError:
        pytest.skip("this file system refuses such names")
    assert len(read_audio(path, 16000).samples) == 16000


def test_long_files_are_read_in_blocks(tmp_path, write_audio, monkeypatch) -> None:
    path = tmp_path / "speech.flac"
    write_audio(path, channels=2, container="FLAC")
    whole = read_audio(path, 16000).samples
    monkeypatch.setattr("asrkit.data.audio._BLOCK_SAMPLES", 999)
    np.testing.assert_array_equal(read_audio(path, 16000).samples, whole)


@pytest.mark.parametrize("rate_hz", [8000, 11025, 16000, 44100, 48000])
@pytest.mark.parametrize("container", ["WAV", "FLAC", "OGG", "MP3"])
def test_blocks_are_the_whole(rate_hz, container, tmp_path, write_audio) -> None:
    path = tmp_path / "speech"
    kind = {"OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}.get(container, "PCM_16")
    write_audio(path, 2.3, rate_hz=rate_hz, channels=2, container=container, subtype=kind)
    whole = read_audio(path, 16000)
    for num_frames in (777, 16000, 10**9):
        with open_audio(path, 16000) as stream:
            blocks = list(stream.blocks(num_frames))
        assert stream.conversion == whole.conversion == f"{rate_hz} Hz stereo -> 16000 Hz mono"
        assert stream.duration_s == pytest.approx(2.3, abs=0.01)
        # To the last bit, but for a decoder of MP3 that rounds otherwise for other blocks.
        tolerance = 1e-6 if container == "MP3" else 0.0
        np.testing.assert_allclose(np.concatenate(blocks), whole.samples, rtol=0, atol=tolerance)


def test_blocks_of_a_segment(tmp_path, write_audio) -> None:
    path = tmp_path / "speech.wav"
    written = write_audio(path, 2.0)
    with open_audio(path, 16000, 0.5, 1.0) as stream:
        assert (stream.duration_s, stream.conversion) == (1.0, "")
        np.testing.assert_array_equal(np.concatenate([*stream.blocks(999)]), written[8000:24000])


def test_blocks_before_damage_are_given_and_then_the_error(tmp_path, write_audio) -> None:
    path = tmp_path / "speech.flac"
    write_audio(path, 5.0, container="FLAC")
    cut(path, 0.5)
    given = []
    with open_audio(path, 16000) as stream, pytest.raises(AudioError, match="truncated"):
        given.extend(stream.blocks(4096))
    assert given


# Segments


@pytest.mark.parametrize("kind", [*LOSSLESS, *LOSSY])
def test_a_segment_is_that_part_of_the_whole(kind, tmp_path, write_audio) -> None:
    container, subtype = kind.split()
    path = tmp_path / "speech"
    write_audio(path, 3.0, container=container, subtype=subtype)
    whole = read_audio(path, 16000).samples
    segment = read_audio(path, 16000, 1.25, 0.5).samples
    rest = read_audio(path, 16000, 2.5).samples
    assert segment.shape == rest.shape == (8000,)
    # Vorbis may be off by a short block; Opus and MP3 need some frames after a jump to settle.
    shifts = [0, 128] if subtype == "VORBIS" else [0]
    tolerance = 0.05 if kind in LOSSY else 0.0
    segment_errors = [np.abs(segment - whole[20000 + s : 28000 + s]).max() for s in shifts]
    rest_errors = [np.abs(rest[: 8000 - s] - whole[40000 + s :]).max() for s in shifts]
    assert min(segment_errors) <= tolerance
    assert min(rest_errors) <= tolerance


def test_an_offset_is_in_seconds_at_any_rate(tmp_path, write_audio) -> None:
    path = tmp_path / "speech.wav"
    write_audio(path, 2.0, rate_hz=8000)
    segment = read_audio(path, 16000, 0.5, 1.0).samples
    assert segment.shape == (16000,)
    whole = read_audio(path, 16000).samples
    np.testing.assert_allclose(segment[500:-500], whole[8500:23500], atol=1e-3)


def test_a_segment_of_a_long_file_is_found_by_seeking(tmp_path) -> None:
    path = tmp_path / "long.wav"
    with soundfile.SoundFile(path, "w", 16000, 1, "PCM_16") as file:
        for minute in range(60):
            file.write(np.full(16000 * 60, minute, dtype=np.int16))
    bytes_before = read_bytes()
    segment = read_audio(path, 16000, 59 * 60 + 1.0, 0.5).samples
    np.testing.assert_array_equal(segment * 32768, np.full(8000, 59))
    assert read_bytes() - bytes_before < 1_000_000  # of 115 million


def read_bytes() -> int:
    """Give what this process has read from files so far."""
    counters = Path("/proc/self/io")
    if not counters.exists():
        pytest.skip("only Linux counts the bytes a process reads")
    return int(dict(line.split(": ") for line in counters.read_text().splitlines())["rchar"])


@pytest.mark.parametrize("offset_s", [1.0, 7.5, -0.1])
def test_an_offset_outside_the_file(offset_s, tmp_path, write_audio) -> None:
    path = tmp_path / "speech.wav"
    write_audio(path)
    with pytest.raises(AudioError, match=rf"starts at {offset_s} s but the file is 1\.0 s long"):
        read_audio(path, 16000, offset_s)


@pytest.mark.parametrize("duration_s", [0.0, 1.1, -1.0])
def test_a_duration_that_is_not_in_the_file(duration_s, tmp_path, write_audio) -> None:
    path = tmp_path / "speech.wav"
    write_audio(path)
    with pytest.raises(AudioError, match=rf"lasts {duration_s} s but the file is 1\.0 s long"):
        read_audio(path, 16000, 0.5, duration_s)


def test_a_small_overshoot_is_cut(tmp_path, write_audio) -> None:
    path = tmp_path / "speech.wav"
    write_audio(path)
    assert len(read_audio(path, 16000, 0.0, 1.5).samples) == 16000


# Damage


def cut(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("kind", [k for k in [*LOSSLESS, *LOSSY] if k != "W64 PCM_16"])
def test_truncated_files_are_refused(kind, share, tmp_path, write_audio, capfd) -> None:
    container, subtype = kind.split()
    path = tmp_path / "speech"
    write_audio(path, 3.0, container=container, subtype=subtype)
    cut(path, share)
    if container == "MP3" and share > 0.99:
        assert len(read_audio(path, 16000).samples) > 47000  # within what decoders disagree by
        return
    with pytest.raises(AudioError, match=r"speech: .*(truncated|not audio)"):
        read_audio(path, 16000)


def test_real_files_cut_short(shared_data, tmp_path) -> None:
    for name in (
        "timit_sample/TIMIT/TRAIN/DR7/MADD0/SA1.WAV",
        "librispeech_sample/LibriSpeech/dev-clean/84/121550/84-121550-0000.flac",
        "english/audio/arctic/bdl_arctic_a0004.opus",
    ):
        path = tmp_path / "cut"
        path.write_bytes((shared_data / name).read_bytes())
        cut(path, 0.8)
        with pytest.raises(AudioError, match="truncated"):
            read_audio(path, 16000)


def test_a_flac_cut_between_two_frames_is_truncated(tmp_path, write_audio) -> None:
    path, one_frame = tmp_path / "speech.flac", tmp_path / "one.flac"
    write_audio(path, 1.0, container="FLAC")
    content = path.read_bytes()
    # A frame starts with a sync code, four bits for its length, four for the rate, then layout, and
    # its number: here the second one is looked for.
    header = content[content.index(b"\xff\xf8") :][:4]
    second = content.index(header + b"\x01")
    one_frame.write_bytes(content[:second])
    with pytest.raises(AudioError, match=r"truncated"):
        read_audio(one_frame, 16000)
    assert len(read_audio(one_frame, 16000, 0.0, 0.25).samples) == 4000


@pytest.mark.parametrize("riff_size", [0, 36, 0xFFFFFFFF])
@pytest.mark.parametrize("data_size", [0, 0xFFFFFFFF, 0x7FFFF000, 0x7FFFEFFE, 0x80000000])
def test_wav_from_a_pipe_is_read_to_its_end(riff_size, data_size, tmp_path, write_audio) -> None:
    path = tmp_path / "piped.wav"
    written = write_audio(path)
    content = bytearray(path.read_bytes())
    content[4:8] = struct.pack("<I", riff_size)
    content[40:44] = struct.pack("<I", data_size)
    path.write_bytes(content)
    np.testing.assert_array_equal(read_audio(path, 16000).samples, written)
    np.testing.assert_array_equal(read_audio(path, 16000, 0.5, 0.25).samples, written[8000:12000])
    assert audio_duration_s(path) == 1.0


def test_chunks_after_the_samples_are_not_sound(tmp_path, write_audio) -> None:
    path = tmp_path / "tagged.wav"
    write_audio(path)
    path.write_bytes(path.read_bytes() + b"LIST" + struct.pack("<I", 4) + b"INFO")
    assert len(read_audio(path, 16000).samples) == 16000


def test_a_wav_without_samples_but_with_tags_is_empty(tmp_path, write_audio) -> None:
    path = tmp_path / "tagged.wav"
    write_audio(path, 0.0)
    content = path.read_bytes() + b"LIST" + struct.pack("<I", 4) + b"INFO"
    path.write_bytes(content[:4] + struct.pack("<I", len(content) - 8) + content[8:])
    with pytest.raises(AudioError, match="holds no samples"):
        read_audio(path, 16000)


@pytest.mark.parametrize("container", ["WAV", "FLAC", "NIST"])
def test_no_samples(container, tmp_path, write_audio) -> None:
    path = tmp_path / "silent"
    write_audio(path, 0.0, container=container)
    with pytest.raises(AudioError):
        read_audio(path, 16000)


def test_an_empty_file(tmp_path) -> None:
    path = tmp_path / "empty.wav"
    path.touch()
    with pytest.raises(AudioError, match=r"empty\.wav: is empty, 0 bytes"):
        read_audio(path, 16000)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_samples_that_are_not_finite(bad, subtype, tmp_path) -> None:
    path = tmp_path / "bad.wav"
    samples = np.zeros(100)
    samples[50] = bad
    soundfile.write(path, samples, 16000, subtype=subtype)
    with pytest.raises(AudioError, match=r"bad\.wav: holds NaN or infinite samples"):
        read_audio(path, 16000)


@pytest.mark.parametrize("ending", ["wav", "flac", "mp3", "au", "gsm", "vox", "raw", "ogg", "sph"])
def test_text_under_an_audio_name(ending, tmp_path, capfd) -> None:
    path = tmp_path / f"notes.{ending}"
    path.write_text("This is not a sound, whatever its name says.\n" * 50)
    with pytest.raises(AudioError, match=rf"notes\.{ending}: is not audio in a known format"):
        read_audio(path, 16000)


def test_a_directory_and_a_missing_file(tmp_path) -> None:
    with pytest.raises(AudioError, match="is a directory"):
        read_audio(tmp_path, 16000)
    with pytest.raises(AudioError, match=r"gone\.wav: cannot be read: No such file"):
        read_audio(tmp_path / "gone.wav", 16000)
    with pytest.raises(AudioError, match=r"gone\.wav: cannot be read: No such file"):
        audio_duration_s(tmp_path / "gone.wav")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path) -> None:
    path = tmp_path / "pipe.wav"
    os.mkfifo(path)
    with pytest.raises(AudioError, match="device or pipe"):
        read_audio(path, 16000)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every file"
)
def test_a_file_without_permission(tmp_path, write_audio) -> None:
    path = tmp_path / "secret.wav"
    write_audio(path)
    path.chmod(0)
    with pytest.raises(AudioError, match=r"secret\.wav: cannot be read: Permission denied"):
        read_audio(path, 16000)


def test_a_file_that_may_not_be_opened(tmp_path, write_audio, monkeypatch) -> None:
    path = tmp_path / "secret.wav"
    write_audio(path)

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(AudioError, match=r"secret\.wav: cannot be read: Permission denied"):
        read_audio(path, 16000)


def test_a_flac_of_unknown_length_is_refused_with_a_remedy(tmp_path, write_audio) -> None:
    path = tmp_path / "piped.flac"
    write_audio(path, container="FLAC")
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # the 36 bits of STREAMINFO's number of samples
    content[22:26] = bytes(4)
    path.write_bytes(content)
    with pytest.raises(AudioError, match="header does not give its length; convert it"):
        read_audio(path, 16000)


def test_a_flac_that_claims_an_absurd_length(tmp_path, write_audio) -> None:
    path = tmp_path / "damaged.flac"
    write_audio(path, container="FLAC")
    content = bytearray(path.read_bytes())
    content[21] |= 0x0F
    path.write_bytes(content)
    with pytest.raises(AudioError, match="truncated"):
        read_audio(path, 16000)


def write_untagged_mp3(path: Path, parts: list[np.ndarray], mode: str) -> None:
    """Write an MP3 without the frame in front that tells its length."""
    samples = np.concatenate(parts)
    soundfile.write(path, samples, 16000, format="MP3", bitrate_mode=mode, compression_level=0.5)
    content = path.read_bytes()
    tag = max(content.find(b"Xing", 0, 200), content.find(b"Info", 0, 200))
    assert tag > 0
    path.write_bytes(content[content.index(b"\xff\xf3", tag) :])


SILENCE, NOISE = np.zeros(160000), np.random.default_rng(0).normal(scale=0.3, size=320000)


@pytest.mark.parametrize("parts", [[SILENCE, NOISE], [NOISE, SILENCE]], ids=["long", "short"])
def test_an_mp3_of_which_the_length_is_guessed_wrongly(parts, tmp_path, capfd) -> None:
    path = tmp_path / "ripped.mp3"
    write_untagged_mp3(path, parts, "VARIABLE")
    with pytest.raises(AudioError, match="does not tell its length"):
        read_audio(path, 16000)
    with pytest.raises(AudioError, match="does not tell its length"):
        audio_duration_s(path)


def test_an_mp3_of_constant_bit_rate_need_not_tell_its_length(tmp_path, capfd) -> None:
    path = tmp_path / "ripped.mp3"
    write_untagged_mp3(path, [NOISE, SILENCE], "CONSTANT")
    assert len(read_audio(path, 16000).samples) == pytest.approx(480000, abs=2304)


def test_an_mp3_with_a_picture_in_front(tmp_path, write_audio, capfd) -> None:
    path = tmp_path / "song.mp3"
    write_audio(path, 3.0, container="MP3", subtype="MPEG_LAYER_III")
    picture = bytes(5000)
    size = bytes([0, 0, len(picture) >> 7, len(picture) & 127])
    path.write_bytes(b"ID3\x04\x00\x00" + size + picture + path.read_bytes())
    assert len(read_audio(path, 16000).samples) == 48000


# Digests, threads


def test_digests_tell_content_not_container(tmp_path, write_audio) -> None:
    wav, flac, other, slower = (tmp_path / name for name in ("a", "b", "c", "d"))
    write_audio(wav)
    write_audio(flac, container="FLAC")
    write_audio(other, seed=1)
    samples, _ = soundfile.read(wav, dtype="int16")
    soundfile.write(slower, samples, 8000, format="WAV")
    assert audio_digest(wav) == audio_digest(flac)
    assert len({audio_digest(path) for path in (wav, other, slower)}) == 3
    assert audio_digest(wav, 0.0, 0.5) != audio_digest(wav)


def test_reading_does_not_wait_for_the_interpreter(tmp_path, write_audio) -> None:
    """Reading through Python callbacks takes a hundred times longer beside a busy thread."""
    path = tmp_path / "speech.mp3"
    write_audio(path, 60.0, container="MP3", subtype="MPEG_LAYER_III")
    started_s = time.perf_counter()
    read_audio(path, 16000)
    alone_s = time.perf_counter() - started_s
    stop = threading.Event()

    def be_busy() -> None:
        while not stop.is_set():
            sum(range(1000))

    thread = threading.Thread(target=be_busy)
    thread.start()
    try:
        started_s = time.perf_counter()
        read_audio(path, 16000)
        beside_s = time.perf_counter() - started_s
    finally:
        stop.set()
        thread.join()
    assert beside_s < 20 * alone_s + 0.5
