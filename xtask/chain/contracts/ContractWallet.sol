// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// A wallet that is a contract, honest or not when it is asked about a signature.
contract ContractWallet is IERC1271 {
    enum Manner {
        /// Yes to its owner's signatures, no to all others.
        Honest,
        Refusing,
        Reverting,
        /// Uses up all gas it is given.
        Burning,
        /// Answers yes in 4 bytes, not in a word of 32.
        Short
    }

    address public immutable owner;
    Manner public manner;

    constructor(address owner_, Manner manner_) {
        owner = owner_;
        manner = manner_;
    }

    /// Changes its mind, as an upgradable wallet can between a check and a settlement.
    function become(Manner manner_) external {
        manner = manner_;
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4 answer) {
        answer = this.isValidSignature.selector;
        if (manner == Manner.Honest) {
            (address signer,,) = ECDSA.tryRecover(digest, signature);
            return signer == owner ? answer : bytes4(0xffffffff);
        }
        if (manner == Manner.Refusing) return 0xffffffff;
        require(manner != Manner.Reverting, "this wallet says nothing");
        if (manner == Manner.Burning) assembly { invalid() }
        assembly {
            mstore(0, answer)
            return(0, 4)
        }
    }
}
