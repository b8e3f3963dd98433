"""What a release changes in the files that users copy: which image they name.

    python -m toolchain.release ghcr.io/owner/sf@sha256:...

On the main branch the action builds its image; on a release's tag it names the published one, by digest.
"""

import re
import sys
from pathlib import Path

from toolchain.errors import ToolchainError

CHECKOUT = Path(__file__).parents[1]
IMAGE = re.compile(r"[a-z0-9.:/_-]+@sha256:[0-9a-f]{64}")


def with_image(action: str, reference: str) -> str:
    """The text of an action that runs the image `reference` (``docker://...``) instead of building its own."""
    return _replaced(r"^  image: Dockerfile$", f"  image: {reference}", action)


def with_default(template: str, image: str) -> str:
    """The text of a template whose input ``image`` is `image` where nothing else is said."""
    return _replaced(r"(?<=^    image:\n)(.*\n)      default: .*$", rf"\g<1>      default: {image}", template)


def _replaced(pattern: str, replacement: str, text: str) -> str:
    changed, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
    if count != 1:
        raise ToolchainError(f"{pattern} stands {count} times where it has to stand once")
    return changed


def main(image: str) -> None:
    """Write `image`, a name with its digest, into the action and the template. Raises ToolchainError."""
    if not IMAGE.fullmatch(image):
        raise ToolchainError(f"{image} is not an image with its digest, such as ghcr.io/owner/sf@sha256:...")
    for name, text in released(image).items():
        (CHECKOUT / name).write_text(text)


def released(image: str) -> dict[str, str]:
    """The files of the checkout that name the image, as a release has them."""
    template = with_default((CHECKOUT / ".gitlab-ci-template.yml").read_text(), image)
    return {
        "action.yml": with_image((CHECKOUT / "action.yml").read_text(), f"docker://{image}"),
        ".gitlab-ci-template.yml": template,
        # GitLab finds a component nowhere else.
        "templates/sf.yml": template,
    }


if __name__ == "__main__":
    main(sys.argv[1])
