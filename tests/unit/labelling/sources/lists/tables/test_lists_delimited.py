"""Tables of labels as programs and people write them: read right, or refused; never misread."""

import pytest

from labelling.sources.lists.list_format import ListRefusedError
from labelling.sources.reading import ReadingOptions
from tests.unit.labelling.sources.lists_of_tests import ListedSource, labels

pytestmark = pytest.mark.unit

CAT_AND_DOG = {"a.jpg": "cat", "b.jpg": "dog"}
EXCEL = "file\tlabels\r\na.jpg\tcat\r\nb.jpg\tdog\r\n"
PLAIN = "file,labels\na.jpg,cat\nb.jpg,dog\n"


@pytest.mark.parametrize(
    "data",
    [
        "file;labels\r\na.jpg;cat\r\nb.jpg;dog\r\n",
        "sep=,\r\nfile,labels\r\na.jpg,cat\r\nb.jpg,dog\r\n",
        "sep=;\nfile;labels\na.jpg;cat\nb.jpg;dog\n",
        EXCEL,
        EXCEL.encode("utf-16"),
        EXCEL.encode("utf-16-le"),
        EXCEL.encode("utf-16-be"),
        PLAIN.encode("utf-8-sig"),
        PLAIN.replace("\n", "\r"),
        "filename,label\na.jpg,cat\nb.jpg,dog\n",
        "Image Name;Species\na.jpg;cat\nb.jpg;dog",
        "label,file\ncat,a.jpg\ndog,b.jpg\n",
        "file,labels\nA.JPG,cat\nB.JPG,dog\n",
        "a.jpg,cat\nb.jpg,dog\n",
        "cat\ta.jpg\ndog\tb.jpg\n",
        "a,cat\nb,dog\n",
        "file,labels\n.\\a.jpg,cat\n./b.jpg,dog\n",
        "file,labels\n/home/me/photos/a.jpg,cat\nC:\\photos\\b.jpg,dog\n",
        "file,labels\nhttps://example.org/x/a.jpg?v=2,cat\ns3://bucket/x/b.jpg,dog\n",
        "id_code,diagnosis\na,cat\nb,dog\n",
        '"file","labels"\n"a.jpg","cat"\n"b.jpg","dog"\n',
        "'file','labels'\n'a.jpg','cat'\n'b.jpg','dog'\n",
        "file,labels,\na.jpg,cat,\nb.jpg,dog,\n",
        "\nfile,labels\n\na.jpg,cat\n\n\nb.jpg,dog\n\n",
        "# made by a tool, v1\nfile,labels\na.jpg,cat\n# half way, so far\nb.jpg,dog\n",
        "Labels of 2024\nby Ann, for Bob\n\nfile,labels\na.jpg,cat\nb.jpg,dog\n",
        "Etiketten; Stand 2024\n\nfile;labels\na.jpg;cat\nb.jpg;dog\n",
        "file;labels;score\na.jpg;cat;0,5\nb.jpg;dog;0,75\n",
        ",file,labels\n0,a.jpg,cat\n1,b.jpg,dog\n",
        '"file" "labels"\n"1" "a.jpg" "cat"\n"2" "b.jpg" "dog"\n',
        "file,note,labels\na.jpg,\"two\nlines\",cat\nb.jpg,,dog\n",
        "file|labels\na.jpg|cat\nb.jpg|dog\n",
        "a.jpg cat\nb.jpg dog\n",
        "Bild;Tier\na.jpg;cat\nb.jpg;dog\n",
        "Foo,Bar\na.jpg,cat\nb.jpg,dog\n",
        "file,label,label_id\na.jpg,cat,0\nb.jpg,dog,1\n",
        "file,target,species\na.jpg,0,cat\nb.jpg,1,dog\n",
        "filename, cat, dog\na.jpg, 1, 0\nb.jpg, 0, 1\n",
        "file,cat,dog\na.jpg,True,False\nb.jpg,False,True\n",
        "file,cat,dog\na.jpg,1.0,0.0\nb.jpg,0.0,1.0\n",
        "file,cat,dog\na.jpg,x,\nb.jpg,,x\n",
    ],
)  # fmt: skip
def test_a_table_is_read_in_any_common_form(data):
    assert labels(data) == CAT_AND_DOG


def test_one_row_alone_is_read():
    assert labels("file;labels\na.jpg;cat\n") == {"a.jpg": "cat"}
    assert labels("a.jpg,cat\n") == {"a.jpg": "cat"}


def test_a_tsv_is_read_and_names_its_columns():
    reading = ListedSource({"labels.tsv": EXCEL}).read("labels.tsv")
    assert "tab" in reading.understood
    assert "column file" in reading.understood
    assert "column labels" in reading.understood


def test_quotes_inside_quotes_and_separators_inside_quotes_are_part_of_a_label():
    data = 'file,labels\na.jpg,"the ""big"", fat cat"\nb.jpg,"the ""big"", fat cat"\n'
    assert set(labels(data).values()) == {'the "big", fat cat'}
    data = 'file,labels\na.jpg,"the \\"big\\" cat"\nb.jpg,"dog"\n'
    assert labels(data) == {"a.jpg": 'the "big" cat', "b.jpg": "dog"}


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("a.jpg,cat,dog", "3 columns, where the others have 2"),
        ("a.jpg", "1 columns, where the others have 2"),
        ('a.jpg,"cat"x', "broken line"),
        (",cat", "the cell that names the image is empty"),
        ('a.jpg,"cat\n', "a quote|unexpected end|broken line|line break"),
    ],
)
def test_a_broken_line_is_named_and_the_rest_goes_on(lines, reason):
    good = ("b.jpg,dog", "c.jpg,cat", "d.jpg,dog")
    data = "\n".join(["file,labels", *good, lines])
    source = ListedSource({"labels.csv": data})
    reading = source.read("labels.csv")
    assert len(reading.statements) == 3
    assert [rejection.name for rejection in reading.rejections] == ["labels.csv:5"]
    import re

    assert re.search(reason, reading.rejections[0].reason)
    assert len(source.match().labels) == 3


def test_a_quote_that_is_never_closed_costs_its_own_line_only():
    images = tuple(f"{at}.jpg" for at in range(300))
    rows = [f"{name},cat" for name in images]
    rows[5] = '5.jpg,"cat'
    source = ListedSource({"labels.csv": "file,labels\n" + "\n".join(rows)}, images)
    assert set(images) - source.match().labels.keys() == {"5.jpg"}


def test_a_list_of_which_most_cannot_be_used_was_not_understood():
    data = "file,labels\n" + "".join(f"x{at}.jpg,cat\n" for at in range(9)) + "a.jpg,cat\n"
    with pytest.raises(ListRefusedError, match=r"9 of 10 .*no such file.*labels.csv:2 x0.jpg"):
        labels(data)


def test_the_same_reason_is_the_same_text():
    data = "file,labels\na.jpg,cat\nb.jpg,dog\nc.jpg,cat\nx.jpg,cat\ny.jpg,dog\n"
    refused = ListedSource({"labels.csv": data}).match().rejections
    assert [each.name for each in refused] == ["labels.csv:5 x.jpg", "labels.csv:6 y.jpg"]
    assert len({each.reason for each in refused}) == 1


@pytest.mark.parametrize("data", ["", "\n\n", "one,two\n3,4\n", b"\x00\x01\x02\xff\x00", "word"])
def test_a_csv_that_names_no_images_is_refused(data):
    with pytest.raises(ListRefusedError, match=r"labels\.csv"):
        ListedSource({"labels.csv": data}).read("labels.csv")


@pytest.mark.parametrize("data", ["", "Read me first.\n", "cat\ndog\n", "torch>=2\n"])
def test_a_text_that_is_no_list_is_passed_over(data):
    assert ListedSource({"notes.txt": data}).read("notes.txt") is None


def test_a_text_that_is_a_list_is_read():
    assert labels("a.jpg 0\nb.jpg 1\n", name="val.txt") == {"a.jpg": "0", "b.jpg": "1"}


def test_roboflows_one_hot_in_each_split():
    files = {
        f"{split}/_classes.csv": "filename, cat, dog\na.jpg, 1, 0\nb.jpg, 0, 1\n"
        for split in ("train", "valid")
    }
    images = tuple(f"{split}/{name}" for split in ("train", "valid") for name in ("a.jpg", "b.jpg"))
    assert ListedSource(files, images).match().labels == {
        image: ("cat",) if "a.jpg" in image else ("dog",) for image in images
    }


def test_one_hot_rows_of_zeros_are_negatives_in_multi_label_only():
    data = "filename,cat,dog\na.jpg,1,0\nb.jpg,0,1\nc.jpg,1,1\nd.jpg,0,0\n"
    texts = {"a.jpg": "cat", "b.jpg": "dog", "c.jpg": "cat|dog"}
    assert labels(data, task="multi_label") == {**texts, "d.jpg": ""}
    single = data.replace("c.jpg,1,1", "c.jpg,1,0")
    assert labels(single) == {**texts, "c.jpg": "cat"}


def test_names_of_classes_lie_beside_the_list():
    data = {"labels.csv": "file,label\na.jpg,0\nb.jpg,1\n", "classes.txt": "cat\ndog\n"}
    source = ListedSource(data)
    assert source.read("classes.txt") is None
    assert source.match().labels == {"a.jpg": ("cat",), "b.jpg": ("dog",)}


def test_numbers_of_classes_are_said_to_be_numbers():
    reading = ListedSource({"labels.csv": "id_code,diagnosis\na,0\nb,2\n"}).read("labels.csv")
    assert any("the labels are numbers (0, 2)" in warning for warning in reading.warnings)


def test_a_form_for_answers_is_no_list():
    source = ListedSource({"sample_submission.csv": PLAIN})
    assert source.match().labels == {}
    named = ReadingOptions(labels_from="sample_submission.csv")
    source = ListedSource({"sample_submission.csv": PLAIN}, options=named)
    assert source.match().labels == {"a.jpg": ("cat",), "b.jpg": ("dog",)}


def test_splits_come_from_a_column_or_from_the_name_of_the_list():
    data = "file,label,subset\na.jpg,cat,Training\nb.jpg,dog,valid\nc.jpg,cat,TEST\n"
    splits = ListedSource({"labels.csv": data}).match().splits
    assert splits == {"a.jpg": "train", "b.jpg": "val", "c.jpg": "test"}
    assert ListedSource({"test.csv": PLAIN}).match().splits == {"a.jpg": "test", "b.jpg": "test"}


def test_a_single_quote_is_a_quote_only_where_programs_write_it_so():
    images = ("a.jpg", "b.jpg", "c.jpg")
    needed = "file,label\na.jpg,'cat, big'\nb.jpg,'the ''big'' one'\nc.jpg,dog\n"
    assert labels(needed, *images)["a.jpg"] == "cat, big"
    apostrophes = "file,label\na.jpg,bird's\nb.jpg,'tis\nc.jpg,dog\n"
    assert labels(apostrophes, *images) == {"a.jpg": "bird's", "b.jpg": "'tis", "c.jpg": "dog"}
    some = "file,label\na.jpg,'cat'\nb.jpg,dog\nc.jpg,cat\n"
    assert labels(some, *images) == {"b.jpg": "dog", "c.jpg": "cat"}


def test_a_broken_header_is_not_passed_over():
    with pytest.raises(ListRefusedError, match=r"labels.csv:1, .*may be the header"):
        labels("file,'q',cat\na.jpg,1,1\nb.jpg,1,0\n", task="multi_label")


def test_one_class_in_a_column_of_its_own_in_multi_label():
    assert labels("file,rust\na.jpg,1\nb.jpg,0\n", task="multi_label") == {
        "a.jpg": "rust",
        "b.jpg": "",
    }
    assert labels("file,rust\na.jpg,1\nb.jpg,0\n") == {"a.jpg": "1", "b.jpg": "0"}


def test_lines_of_single_labels_are_not_put_together_where_one_is_broken():
    data = 'file,label\na.jpg,cat\na.jpg,dog\nb.jpg,cat\nb.jpg,"dog"x\n'
    with pytest.raises(ListRefusedError, match="labelled twice"):
        labels(data, task="multi_label")


def test_files_that_name_classes_differently_name_none():
    data = {"l.csv": "file,label\na.jpg,0\nb.jpg,1\n", "classes.txt": "cat\ndog\n"}
    source = ListedSource({**data, "names.txt": "dog\ncat\n"})
    assert source.match().labels == {"a.jpg": ("0",), "b.jpg": ("1",)}
    assert "different names" in source.read("l.csv").warnings[0]
    source = ListedSource({**data, "l.csv": "file,label\na.jpg,1\nb.jpg,1\n"})
    assert source.match().labels["a.jpg"] == ("1",)
    assert "count from 0 or 1" in source.read("l.csv").warnings[0]


def test_the_header_may_be_a_comment():
    assert labels("#file,label\na.jpg,cat\nb.jpg,dog\n") == CAT_AND_DOG
    assert labels("# Image , Was\na.jpg,cat\nb.jpg,dog\n") == CAT_AND_DOG


def test_a_tab_in_every_line_separates():
    assert labels("k;\ta.jpg\n") == {"a.jpg": "k;"}


def test_headers_in_between_and_remarks_are_no_broken_lines():
    data = "file,label\na.jpg,cat\n# one, two, three\nfile,label\nb.jpg,dog\n"
    reading = ListedSource({"l.csv": data}).read("l.csv")
    assert len(reading.statements) == 2
    assert list(reading.rejections) == []
