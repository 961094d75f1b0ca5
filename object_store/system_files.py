"""Names of files and folders that operating systems, NAS devices and programs leave behind."""

import re

_NAMES = {
    *("__macosx", "network trash folder", "temporary items"),  # macOS
    *(".appledouble", ".fseventsd", ".spotlight-v100", ".temporaryitems", ".trashes"),
    *("$recycle.bin", "$windows.~bt", "system volume information"),  # Windows
    *("@eadir", "#recycle", "#snapshot", "@tmp", "@sharebin"),  # Synology
    *("@recycle", "@recently-snapshot", ".@__thumb", "@__thumb", ".@upload_cache", ".streams"),
    *("lost+found", "lost.dir", ".thumbnails", ".thumbs", ".trash", ".dtrash"),  # Linux, Android
    *("__pycache__", ".ipynb_checkpoints", ".picasaoriginals", ".comments", ".sync"),
    *(".git", ".svn", ".hg", ".dvc", ".cache", ".stfolder", ".stversions", ".dropbox.cache"),
    *(".ds_store", "icon\r", ".localized", ".apdisk", ".volumeicon.icns"),
    *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "iconcache.db"),
    *("zbthumbnail.info", "pspbrwse.jbf", "picasa.ini", ".picasa.ini", ".bridgecache"),
    *(".bridgecachet", ".nomedia", ".directory", ".gitkeep", ".gitignore", ".gitattributes"),
    *(".keep", ".dropbox", "sync.ffs_db", ".imgclf-store.json"),
}
_SYSTEM = re.compile(
    r"^(\._.*"  # AppleDouble
    r"|\.trash-\d+|found\.\d{3}|\.fuse_hidden.*|\.nfs[0-9a-f]{8,}"
    r"|~\$.*|\.~lock\..*#"  # locks of Office and LibreOffice
    r"|.*_\$folder\$"  # Hadoop's mark of a folder in S3
    r"|.+[:\uf03a]zone\.identifier(:\$data)?)$"  # the origin of a download, as WSL shows it
)
_LIBRARIES = (".photoslibrary", ".migratedphotolibrary", ".aplibrary", ".lrdata", ".photolibrary")


def is_left_by_system(segment: str) -> bool:
    """Whether a file or folder of this name was left behind by a system or a program."""
    lower = segment.lower()
    return lower in _NAMES or _SYSTEM.match(lower) is not None


def is_photo_library(segment: str) -> bool:
    """Whether a folder of this name is the library of a photo program, full of previews."""
    return segment.lower().endswith(_LIBRARIES)
